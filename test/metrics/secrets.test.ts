// What may never be in a scrape or in a log line: codes, recipients, keys, order ids as labels. Everything is driven once,
// good and bad, with canaries whose every spelling is looked for.
import { expect, test } from '@jest/globals';
import { makeWorld } from '../kit/world.js';
import { readScrape } from './scrape.js';

const PHONE = '13987654321';
const CODES = ['CANARY-AAAA-0001', 'CANARY-AAAA-0002', 'CANARY-AAAA-0003'];

test('a scan of /metrics after good and bad orders finds no code, recipient, key or id', async () => {
  const world = await makeWorld();
  try {
    const alpha = await world.addSupplier('alpha');
    await world.addSupplier('beta');
    await world.addSku('gift');
    await world.addSku('top-up', { kind: 'recharge' });
    await world.addSource('gift', 'alpha');
    await world.addSource('top-up', 'alpha', { priority: 1 });
    await world.addSource('top-up', 'beta', { priority: 2 });
    await world.deposit('gift', CODES);
    const order_ids: string[] = [];
    for (const fault of [
      null,
      'maintenance',
      'unmapped',
      'accept_then_drop',
      'recipient_invalid',
      'garbage',
      'declined',
    ]) {
      if (fault) alpha.fault(fault);
      for (const request of [
        { sku: 'top-up', recipient: { account: PHONE } },
        { sku: 'gift', quantity: 1 },
      ]) {
        const { order } = await world.place({ ...request, external_id: `canary-external-${order_ids.length}` });
        order_ids.push(order.order_id);
        await world.idle();
      }
    }
    for (const order_id of order_ids) await world.runUntilRest(order_id);
    await world.codes(order_ids[1]!);
    await world.gateway.jobs.runNow('gauges');
    await world.gateway.jobs.runNow('verify_vault');
    const plain = (await world.gateway.metrics.render('text/plain')).body;
    const open = (await world.gateway.metrics.render('application/openmetrics-text')).body;
    const supplied = await world.database.read('codes').select('code_id', 'batch_id');
    const canaries = [
      ...CODES,
      PHONE,
      alpha.app_key,
      alpha.app_secret,
      alpha.url,
      'canary-external',
      ...supplied.flatMap(({ code_id, batch_id }: { code_id: string; batch_id: string }) => [code_id, batch_id]),
    ];
    for (const canary of canaries) {
      for (const spelling of [
        canary,
        encodeURIComponent(canary),
        Buffer.from(canary).toString('base64'),
        Buffer.from(canary).toString('hex'),
      ]) {
        expect([canary, plain.includes(spelling), open.includes(spelling)]).toEqual([canary, false, false]);
      }
    }
    // An order's id is an exemplar in OpenMetrics, and nothing anywhere else.
    expect(plain).not.toMatch(/ord_/);
    for (const { labels } of readScrape(open).samples)
      expect(Object.values(labels).join()).not.toMatch(/(ord|att|bat|cod|iss|evt|req|key)_[0-9A-Z]{10}/);
    expect(open).toMatch(/# \{order_id="ord_/);
    expect(readScrape(plain).value('kamigate_metrics_label_overflow_total', {})).toBeUndefined();
    expect(plain).not.toContain('metrics_label_overflow_total{');
  } finally {
    await world.close();
  }
});
