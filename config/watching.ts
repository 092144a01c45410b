// The settings of what watches the gateway: figures for /metrics, and notices to operators. A part of the one table in
// options.ts.
import type { Option } from './options.js';

export const WATCHING = {
  gauges_ms: {
    type: 'integer',
    default: 15_000,
    min: 1_000,
    max: 60_000,
    example: '15000',
    help: 'How often one elected process reads the figures of the database for /metrics. No scrape ever does.',
  },
  vault_verify_ms: {
    type: 'integer',
    default: 3_600_000,
    min: 0,
    max: 86_400_000,
    example: '3600000',
    help: 'How often the elected process verifies the whole vault; 0 leaves it to `kamigate vault verify`.',
  },
  sku_gauges: {
    type: 'choice',
    default: 'low',
    choices: ['off', 'low', 'all'],
    example: 'low',
    help: 'Which SKUs have a stock gauge of their own: none, the 200 lowest of those that are low, or all up to 5,000.',
  },
  low_stock_codes: {
    type: 'integer',
    default: 20,
    min: 1,
    max: 1_000_000,
    example: '20',
    help: 'A SKU with fewer codes in the vault than this counts as low.',
  },
  alert_webhook_url: {
    type: 'text',
    default: null,
    is_secret: true,
    example: 'https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=KEY',
    help: 'Where critical alerts are sent, for shops without Prometheus. Left out: nowhere.',
  },
  alert_webhook_format: {
    type: 'choice',
    default: 'generic',
    choices: ['generic', 'wecom', 'dingtalk', 'feishu'],
    example: 'wecom',
    help: 'The form of these alerts: JSON of our own, 企业微信, 钉钉 or 飞书.',
  },
  alert_webhook_secret: {
    type: 'text',
    default: null,
    is_secret: true,
    example: 'SEC0123456789',
    help: 'The signing secret of a 钉钉 or 飞书 robot, where it has one.',
  },
  otlp_endpoint: {
    type: 'public_url',
    default: null,
    example: 'http://127.0.0.1:4318',
    help: 'An OpenTelemetry collector that takes OTLP over HTTP; traces go to /v1/traces below it. Left out: nowhere.',
  },
} as const satisfies Record<string, Option>;
