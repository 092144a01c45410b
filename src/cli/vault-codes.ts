// `kamigate order codes`: a person looks at issued codes. Masked unless asked for in full; either way it is recorded
// with the reason, counts towards that person's day, and beyond it needs a second person.
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { masked } from '../../vault/line.js';
import type { RevealedCode } from '../../vault/vault.js';
import { GatewayError } from '../errors.js';
import type { OrderRow } from '../orders/store.js';
import { type Context, columns, onGateway, timeOf, wholeNumber } from './context.js';
import { type ActFlags, actOf, transact, withAct } from './vault-acts.js';

interface CodesFlags extends ActFlags {
  unit?: number;
  full?: boolean;
  approval?: string;
}

const UNITS_MAX = 10_000;
const FIELDS = ['number', 'pin', 'serial', 'link'] as const;

export function addOrderCodes(order: Command, context: Context): void {
  withAct(
    order
      .command('codes')
      .description('the codes issued to an order, masked; kept for ever with name and reason')
      .argument('<id>', 'our id of the order'),
  )
    .option('--unit <n>', 'only this unit', wholeNumber('--unit', 1, UNITS_MAX))
    .option('--full', 'the whole codes')
    .option('--approval <approval_id>', 'a second person’s approval, where one is needed')
    .action((id: string, flags: CodesFlags) => showCodes(context, id, flags));
}

async function showCodes(context: Context, order_id: string, flags: CodesFlags): Promise<void> {
  const { by, reason } = actOf(flags);
  await onGateway(
    context,
    async (gateway) => {
      const order = (await gateway.database.read('orders').where({ order_id }).first('kind')) as
        | Pick<OrderRow, 'kind'>
        | undefined;
      if (!order) {
        throw new GatewayError('order_not_found', `there is no order ${JSON.stringify(order_id)}`, {
          field: 'id',
          fix: 'Run `kamigate order list`.',
        });
      }
      if (order.kind === 'bundle') {
        throw new GatewayError('conflict', 'the order is a bundle: codes are issued to its parts', {
          field: 'id',
          fix: 'Run `kamigate order show` for the parts, and this command for one of them.',
        });
      }
      // Committed before anything is shown.
      const codes = await transact(gateway, 'reveal', (trx) =>
        gateway.vault.reveal(trx, {
          order_id,
          by,
          reason,
          is_person: true,
          ...(flags.unit === undefined ? {} : { first_unit: flags.unit, limit: 1 }),
          ...(flags.approval === undefined ? {} : { approval_id: flags.approval }),
        }),
      );
      const shown = codes.map((code) => codeView(code, flags.full === true));
      context.show({ order_id, is_masked: !flags.full, codes: shown }, () => codesText(shown));
    },
    { issues: true },
  );
}

interface CodeView {
  unit: number;
  code_id: string;
  expires_at: string | null;
  fields: Record<string, string>;
}

function codeView(code: RevealedCode, is_full: boolean): CodeView {
  const fields: Record<string, string> = {};
  for (const name of FIELDS) {
    const bytes = code[name]?.bytes();
    if (bytes === undefined) continue;
    if (!is_full) fields[name] = isUtf8(bytes) ? masked(bytes.toString('utf8')) : '•••';
    else if (isUtf8(bytes)) fields[name] = bytes.toString('utf8');
    else fields[`${name}_base64`] = bytes.toString('base64');
  }
  return { unit: code.unit_no, code_id: code.code_id, expires_at: timeOf(code.expires_at), fields };
}

function codesText(codes: readonly CodeView[]): string {
  if (codes.length === 0) return 'no code was issued to it';
  return columns(
    ['unit', 'code', 'expires', 'content'],
    codes.map(({ unit, code_id, expires_at, fields }) => [
      unit,
      code_id,
      expires_at,
      Object.entries(fields)
        .map(([name, text]) => `${name} ${text}`)
        .join('  '),
    ]),
  );
}
