// `kamigate apply`: reads the catalog file, shows what it would change, and after a yes changes it.
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { SUPPLIERS } from '../../adapters/register.js';
import { type Declaration, readDeclaration } from '../../config/declaration.js';
import { planApply, runApply } from '../catalog/apply.js';
import type { Change, Issued, PlanParts } from '../catalog/changes.js';
import { patternFault } from '../catalog/pattern.js';
import type { Gateway } from '../main.js';
import { decimalText } from '../orders/view.js';
import { makeKey, makeWebhookSecret, SCOPES, scopesText } from '../storefronts/accounts.js';
import { webhookUrlFault } from '../storefronts/egress.js';
import { moveNotices, WEBHOOK_SECRET_PURPOSE } from '../storefronts/webhooks.js';
import { type Context, confirm, onGateway, readInput } from './context.js';
import { EXIT } from './failure.js';

/** Far above any catalog: a hundred thousand SKUs take about 40 MB. */
const FILE_BYTES_MAX = 100_000_000;

export function addCatalog(program: Command, context: Context): void {
  program
    .command('apply')
    .description('make suppliers, SKUs and storefronts be what the catalog file says; new API keys are shown once')
    .argument('<file>', 'the catalog file (see config/catalog.example.yaml)')
    .option('--dry-run', 'show the plan and write nothing')
    .action((file: string, { dryRun }: { dryRun?: boolean }) => apply(context, file, dryRun === true));
}

async function apply(context: Context, file: string, is_dry_run: boolean): Promise<void> {
  const text = (await readInput('file', file, FILE_BYTES_MAX)).toString('utf8');
  await onGateway(context, async (gateway, config) => {
    const declaration = readDeclaration(text, file, {
      adapters: Object.values(SUPPLIERS),
      scopes: SCOPES,
      checkPattern: patternFault,
      checkWebhookUrl: (url) => webhookUrlFault(url, { allow_private: config.allow_private_webhooks }),
      readSecret: (source) => context.readSecret(source, file === '-' ? process.cwd() : dirname(file)),
    });
    await applyDeclaration(context, gateway, declaration, is_dry_run);
  });
}

async function applyDeclaration(
  context: Context,
  gateway: Gateway,
  declaration: Declaration,
  is_dry_run: boolean,
): Promise<void> {
  const { database } = gateway;
  const parts = planParts(gateway);
  const planned = await planApply(database, declaration, parts);
  const wanted = planned.filter((change) => change.action !== 'unchanged');
  if (is_dry_run || wanted.length === 0) {
    context.show({ applied: false, changes: planned, issued: [] }, () => planText(planned));
    if (wanted.some((change) => change.blocked_by)) context.setExit(EXIT.conflict);
    else if (wanted.length > 0) context.tell(`next: kamigate apply ${declaration.file}`);
    return;
  }
  if (!context.flags().json) context.tell(planText(planned));
  if (!(await confirm(context, 'Apply this?'))) {
    context.tell('nothing was written');
    return;
  }
  const { changes, issued } = await runApply(database, declaration, parts);
  const shown = issued.map(({ storefront, what, secret }) => ({ storefront, what, secret: secret.reveal() }));
  context.show({ applied: true, changes, issued: shown }, () => issuedText(issued));
  context.tell(`applied: ${countsText(changes)}`);
  if (issued.length > 0) context.tell('These secrets are shown this once: keep them now.');
  context.tell('next: kamigate serve, or nothing if it runs already');
}

function planParts({ vault, engine }: Gateway): PlanParts {
  return {
    now: engine.now,
    seal: vault,
    storefronts: {
      webhook_secret_purpose: WEBHOOK_SECRET_PURPOSE,
      makeKey,
      makeWebhookSecret,
      scopesText,
      moveNotices,
    },
  };
}

const SIGNS = { create: '+', update: '~', disable: '-', unchanged: ' ' } as const;

function planText(changes: readonly Change[]): string {
  const lines = changes
    .filter(({ action }) => action !== 'unchanged')
    .flatMap((change) => [
      `${SIGNS[change.action]} ${change.kind} ${change.name}`,
      ...change.fields.map(({ field, before, after }) => `    ${fieldText(field, before, after, change.action)}`),
      ...(change.blocked_by
        ? [`    refused: ${change.blocked_by.orders} orders and ${change.blocked_by.attempts} attempts are open`]
        : []),
    ]);
  return [...lines, countsText(changes)].join('\n');
}

function fieldText(field: string, before: unknown, after: unknown, action: Change['action']): string {
  const name = field.replace(/_e4$/, '');
  const text = (value: unknown): string =>
    field.endsWith('_e4') && typeof value === 'number' ? decimalText(value) : value === null ? 'none' : String(value);
  return action === 'create' ? `${name}: ${text(after)}` : `${name}: ${text(before)} → ${text(after)}`;
}

function countsText(changes: readonly Change[]): string {
  const count = (action: Change['action']): number => changes.filter((change) => change.action === action).length;
  const parts = [
    [count('create'), 'new'],
    [count('update'), 'changed'],
    [count('disable'), 'switched off'],
    [count('unchanged'), 'unchanged'],
  ] as const;
  return parts
    .filter(([n]) => n > 0)
    .map(([n, word]) => `${n} ${word}`)
    .join(', ');
}

function issuedText(issued: readonly Issued[]): string {
  return issued.map(({ storefront, what, secret }) => `${storefront}  ${what}  ${secret.reveal()}`).join('\n');
}
