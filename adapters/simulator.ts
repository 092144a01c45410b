// The built-in supplier: a real HTTP server with a signed protocol, books of its own, and faults on demand. It runs in
// tests, drills and the demo, in this process or in another one (drive that one by `/_control`).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { callbackSender, type SentCallback } from './kit/calling-back.js';
import { type Endpoint, type Fault, type FaultRule, faultBook, REFUSAL_STATUS, twistOf } from './kit/faults.js';
import * as read from './kit/reading.js';
import { decimalText, parseJson, toE4 } from './kit/reading.js';
import {
  type Books,
  openShop,
  type ShopError,
  type ShopOptions,
  type ShopOrder,
  type ShopProduct,
} from './kit/shop.js';
import { compactJson, hmacSha256, sameText, sha256 } from './kit/signing.js';

export interface SimulatorOptions extends Partial<ShopOptions> {
  /** Default: loopback, any free port. */
  host?: string;
  port?: number;
  app_key?: string;
  app_secret?: string;
  /** Where callbacks go when an order names no address of its own. */
  callback_url?: string;
  /** Wait before each answer. */
  latency_ms?: number;
}

export interface Simulator {
  /** Base URL for the account, without a trailing slash. */
  readonly url: string;
  readonly app_key: string;
  readonly app_secret: string;
  /** Lets the next matching calls go wrong (see `FAULTS`). Throws on a name that is none. */
  fault(name: string, rule?: FaultRule): void;
  clearFaults(): void;
  /** Ends an accepted order and calls back: by delivery, or by failing it with the money returned. */
  deliver(reference: string): boolean;
  fail(reference: string): boolean;
  /** Takes a delivered order back, refunds it and calls back. */
  reverse(reference: string): boolean;
  /** Lets hanging calls answer. */
  release(): void;
  books(): Books;
  /** The callbacks sent so far, with what came back. */
  callbacks(): readonly SentCallback[];
  /** Sends the callback of an order as it stands, again. */
  callBack(reference: string, forged?: boolean): Promise<void>;
  /** Resolves when no callback is under way. */
  settled(): Promise<void>;
  setProduct(product: ShopProduct): void;
  setBalance(amount_e4: number): void;
  setLatency(latency_ms: number): void;
  /** Refuses connections until `listenAgain`, on the same port. */
  stopListening(): Promise<void>;
  listenAgain(): Promise<void>;
  close(): Promise<void>;
}

const PAGE_SIZE = 50;
const STALE_MS = 300_000;
const NONCES_KEPT = 20_000;
const BODY_LIMIT = 1_000_000;

const PRODUCTS: ShopProduct[] = [
  { product: 'code-10', kind: 'code', cost_e4: 98_000, stock: null, name: 'Gift code 10' },
  { product: 'recharge-10', kind: 'recharge', cost_e4: 97_500, stock: null, name: 'Recharge 10' },
];

const ERROR_STATUS: Record<ShopError, number> = {
  out_of_stock: 409,
  price_changed: 409,
  float_low: 402,
  product_unknown: 404,
  recipient_invalid: 422,
  duplicate_reference: 409,
  bad_request: 400,
};

interface Answer {
  status: number;
  body: object;
  order?: ShopOrder;
}

/** Starts the server. Rejects with the system's error if the address cannot be listened on. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const app_key = options.app_key ?? 'sim-key';
  const app_secret = options.app_secret ?? 'sim-secret-0123456789abcdef';
  const clock = options.clock ?? Date.now;
  const shop = openShop({
    name: 'simulated',
    currency: 'CNY',
    products: PRODUCTS,
    balance_e4: 1_000_000_000,
    repeat: 'returns_original',
    ...options,
    clock,
  });
  const faults = faultBook();
  const nonces = new Set<string>();
  const calling = callbackSender({ app_key, app_secret, clock, default_url: options.callback_url ?? null });
  let latency_ms = options.latency_ms ?? 0;
  let hanging: (() => void)[] = [];
  const timers = new Set<NodeJS.Timeout>();

  const server = createServer((request, response) => {
    void handle(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (body === null) return send(response, 413, { error: 'bad_request', message: 'the body is too large' });
    if (request.url?.startsWith('/_control')) return control(request, response, body);
    if (latency_ms > 0) await wait(latency_ms);
    const refused = checkSignature(request, body);
    if (refused) return send(response, 401, { error: 'bad_signature', message: refused });
    const route = routeOf(request, body);
    if (!route) return send(response, 404, { error: 'not_found', message: 'there is no such call' });
    const fault = faults.take(route.endpoint, route.order);
    const refusal_status = fault && REFUSAL_STATUS[fault.name];
    if (fault && refusal_status) {
      return send(response, refusal_status, { error: fault.name, message: `fault: ${fault.name}` });
    }
    const answer = fault?.bought === false ? { status: 200, body: {} } : route.answer(fault);
    await reply(response, answer, fault);
  }

  function checkSignature({ method, url, headers }: IncomingMessage, body: Buffer): string | null {
    const [key, time, nonce, signature] = ['key', 'time', 'nonce', 'signature'].map((name) =>
      String(headers[`x-sim-${name}`] ?? ''),
    );
    if (key !== app_key) return 'the key is not known';
    const text = [method, url, time, nonce, sha256(body)].join('\n');
    if (!sameText(signature, hmacSha256(app_secret, text))) return 'the signature is wrong';
    if (!(Math.abs(clock() - Number(time)) <= STALE_MS)) return 'the time is too far off';
    if (!nonce || nonces.has(nonce)) return 'the nonce was used before';
    nonces.add(nonce);
    if (nonces.size > NONCES_KEPT) nonces.delete(nonces.values().next().value!);
    return null;
  }

  interface Route {
    endpoint: Endpoint;
    order: { product: string; account: string | null } | null;
    answer: (fault: Fault | null) => Answer;
  }

  function routeOf(request: IncomingMessage, body: Buffer): Route | null {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://host.invalid');
    const call = `${request.method} ${pathname}`;
    if (call === 'POST /v1/orders') {
      const order = orderRequestOf(body);
      return { endpoint: 'order', order, answer: (fault) => (order ? place(order, fault) : refusal('bad_request')) };
    }
    if (call === 'GET /v1/orders') {
      const order = shop.byReference(searchParams.get('reference') ?? '');
      return { endpoint: 'lookup', order, answer: () => orderAnswer(order, 200) };
    }
    if (call.startsWith('GET /v1/orders/')) {
      const order = shop.byId(pathname.slice('/v1/orders/'.length));
      return { endpoint: 'lookup', order, answer: () => orderAnswer(order, 200) };
    }
    if (call === 'GET /v1/offers') {
      return { endpoint: 'offers', order: null, answer: () => offers(Number(searchParams.get('page') ?? 1)) };
    }
    if (call === 'GET /v1/balance') {
      const balance = () => ({ balance: decimalText(shop.balance()), currency: shop.currency });
      return { endpoint: 'balance', order: null, answer: () => ({ status: 200, body: balance() }) };
    }
    return null;
  }

  function place(request: NonNullable<ReturnType<typeof orderRequestOf>>, fault: Fault | null): Answer {
    const price_e4 = shop.products().find(({ product }) => product === request.product)?.cost_e4 ?? 0;
    const bought = shop.buy(request, twistOf(fault, { quantity: request.quantity, price_e4 }));
    if ('error' in bought) return refusal(bought.error);
    if (fault?.name === 'late' && fault.after_ms !== undefined)
      later(fault.after_ms, () => end(request.reference, 'delivered'));
    return orderAnswer(bought.order, bought.order.status === 'accepted' ? 202 : 200);
  }

  function orderAnswer(order: ShopOrder | null, status: number): Answer {
    if (!order) return { status: 404, body: { error: 'order_not_found', message: 'there is no such order' } };
    return { status, body: orderJson(order, shop.currency), order };
  }

  function offers(page: number): Answer {
    const all = shop.products();
    const rows = all.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE).map(({ cost_e4, name, ...product }) => ({
      ...product,
      name: name ?? product.product,
      cost: decimalText(cost_e4),
      currency: shop.currency,
    }));
    return { status: 200, body: { offers: rows, page, page_size: PAGE_SIZE, total: all.length } };
  }

  async function reply(response: ServerResponse, { status, body, order }: Answer, fault: Fault | null): Promise<void> {
    const text = JSON.stringify(body);
    switch (fault?.name) {
      case 'accept_then_drop':
        return void response.socket?.destroy();
      case 'bad_gateway':
        return send(response, 502, '<html><body><h1>502 Bad Gateway</h1></body></html>', 'text/html');
      case 'empty_reply':
        return send(response, 200, '');
      case 'garbage':
        return send(response, status, text.slice(0, Math.ceil(text.length / 2)));
      case 'unmapped':
        return send(response, status, { ...body, status: 'in_review' });
      case 'no_codes':
        return send(response, status, { ...body, codes: [] });
      case 'slow_drip':
        return drip(response, status, text, fault.after_ms ?? 2000);
      case 'reset_after_body':
        response.writeHead(status, { 'content-type': 'application/json' });
        response.write(text, () => response.socket?.resetAndDestroy());
        return;
      case 'hang':
        await new Promise<void>((resolve) => hanging.push(resolve));
        return send(response, status, body);
      case 'callback_first':
        if (order) await calling.send(order, eventOf(order));
        return send(response, status, body);
    }
    send(response, status, body);
    if (order && fault) after(order, fault);
  }

  function after(order: ShopOrder, fault: Fault): void {
    if (fault.name === 'callback_twice')
      void calling.send(order, eventOf(order)).then(() => calling.send(order, eventOf(order)));
    if (fault.name === 'callback_forged') void calling.send(order, forgedOf(order), true);
    if (fault.name === 'reversed' && shop.reverse(order.reference)) void calling.send(order, eventOf(order));
  }

  function eventOf(order: ShopOrder): object {
    return { event: `order.${order.status}`, order: orderJson(order, shop.currency) };
  }
  function forgedOf(order: ShopOrder): object {
    const codes = Array.from({ length: order.quantity }, (_, at) => ({
      number: `FALSE${at}`,
      pin: 'FALSE',
      serial: 'FALSE',
    }));
    const claim = { status: 'delivered', delivered_units: order.quantity, codes };
    return { event: 'order.delivered', order: { ...orderJson(order, shop.currency), ...claim } };
  }

  function end(reference: string, how: 'delivered' | 'refused' | 'reversed'): boolean {
    const order = how === 'reversed' ? shop.reverse(reference) : shop.finish(reference, how);
    if (order) void calling.send(order, eventOf(order));
    return order !== null;
  }

  async function drip(response: ServerResponse, status: number, text: string, over_ms: number): Promise<void> {
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    for (const byte of Buffer.from(text)) {
      if (response.destroyed) return;
      response.write(Buffer.from([byte]));
      await wait(over_ms / Buffer.byteLength(text));
    }
    response.end();
  }

  function later(delay_ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, delay_ms);
    timers.add(timer);
  }
  function wait(delay_ms: number): Promise<void> {
    return new Promise((resolve) => later(delay_ms, resolve));
  }

  // Only from this machine, or with the secret: who can order faults can order anything.
  function control(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const is_local = /^(127\.|::1$|::ffff:127\.)/.test(request.socket.remoteAddress ?? '');
    if (!is_local && !sameText(String(request.headers['x-sim-control'] ?? ''), app_secret)) {
      return send(response, 403, { error: 'forbidden', message: 'send x-sim-control with the secret' });
    }
    if (request.method === 'GET') return send(response, 200, { books: shop.books(), callbacks: calling.sent });
    try {
      const done = obey(parseJson(body.toString()) as Record<string, unknown>);
      send(response, 200, { done });
    } catch (error) {
      send(response, 400, { error: 'bad_request', message: (error as Error).message });
    }
  }

  function obey(order: Record<string, unknown>): unknown {
    const text = (name: string) => read.maybeTextAt(order, name);
    const act = text('do');
    if (act === 'fault') return faults.add(text('fault') ?? '', ruleOf(order)), true;
    if (act === 'clear') return faults.clear(), true;
    if (act === 'release') return simulator.release(), true;
    if (act === 'deliver' || act === 'fail' || act === 'reverse') return simulator[act](text('reference') ?? '');
    if (act === 'balance') return shop.setBalance(read.integerAt(order, 'amount_e4')), true;
    if (act === 'latency') return simulator.setLatency(read.integerAt(order, 'latency_ms')), true;
    if (act === 'product') return shop.setProduct(productOf(order)), true;
    throw new Error(
      `do is ${act ?? 'missing'}: use fault, clear, release, deliver, fail, reverse, balance, latency or product`,
    );
  }

  async function listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, options.host ?? '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  }
  async function stop(): Promise<void> {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  await listen(options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  const simulator: Simulator = {
    url: `http://${options.host ?? '127.0.0.1'}:${port}`,
    app_key,
    app_secret,
    fault: (name, rule) => faults.add(name, rule),
    clearFaults: () => faults.clear(),
    deliver: (reference) => end(reference, 'delivered'),
    fail: (reference) => end(reference, 'refused'),
    reverse: (reference) => end(reference, 'reversed'),
    release: () => {
      for (const go of hanging) go();
      hanging = [];
    },
    books: () => shop.books(),
    callbacks: () => calling.sent,
    callBack: async (reference, forged = false) => {
      const order = shop.byReference(reference);
      if (!order) throw new Error(`there is no order with the reference ${reference}`);
      await calling.send(order, forged ? forgedOf(order) : eventOf(order), forged);
    },
    settled: () => calling.settled(),
    setProduct: (product) => shop.setProduct(product),
    setBalance: (amount_e4) => shop.setBalance(amount_e4),
    setLatency: (delay_ms) => {
      latency_ms = delay_ms;
    },
    stopListening: stop,
    listenAgain: () => listen(port),
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      await stop();
      await calling.settled();
    },
  };
  return simulator;
}

function refusal(error: ShopError): Answer {
  return { status: ERROR_STATUS[error], body: { error, message: error.replaceAll('_', ' ') } };
}

function orderRequestOf(body: Buffer) {
  try {
    const order = parseJson(body.toString());
    const ceiling = read.maybeTextAt(order, 'cost_max');
    return {
      reference: read.textAt(order, 'reference'),
      product: read.textAt(order, 'product'),
      quantity: read.integerAt(order, 'quantity'),
      account: read.maybeTextAt(order, 'account') ?? null,
      cost_max_e4: ceiling === undefined ? null : toE4(ceiling),
      callback_url: read.maybeTextAt(order, 'callback_url') ?? null,
    };
  } catch {
    return null;
  }
}

function orderJson(order: ShopOrder, currency: string): object {
  const { order_id, reference, product, quantity, status, delivered_units, codes, receipt } = order;
  const cost = decimalText(order.cost_e4);
  return { order_id, reference, product, quantity, status, cost, currency, delivered_units, codes, receipt };
}

function ruleOf(order: Record<string, unknown>): FaultRule {
  const rule: Record<string, unknown> = {};
  for (const name of ['times', 'after_ms', 'cost_e4', 'units']) {
    if (read.maybeTextAt(order, name) !== undefined) rule[name] = read.integerAt(order, name);
  }
  for (const name of ['product', 'account', 'endpoint']) {
    const value = read.maybeTextAt(order, name);
    if (value !== undefined) rule[name] = value;
  }
  if (read.maybeTextAt(order, 'bought') === 'false') rule.bought = false;
  return rule;
}

function productOf(order: Record<string, unknown>): ShopProduct {
  const stock = read.maybeTextAt(order, 'stock');
  return {
    product: read.textAt(order, 'product'),
    kind: read.textAt(order, 'kind') === 'recharge' ? 'recharge' : 'code',
    cost_e4: read.integerAt(order, 'cost_e4'),
    stock: stock === undefined ? null : read.integerAt(order, 'stock'),
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request) {
    size += (part as Buffer).length;
    if (size > BODY_LIMIT) return null;
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

function send(response: ServerResponse, status: number, body: object | string, type = 'application/json'): void {
  const text = typeof body === 'string' ? body : compactJson(body);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
