// The settings of reading suppliers' offers and of comparing what they cost; a part of the table in options.ts.
import type { Option } from './options.js';

const DAY_MS = 86_400_000;

export const OFFER_OPTIONS = {
  base_currency: {
    type: 'text',
    default: 'CNY',
    example: 'CNY',
    help: 'The currency that amounts in different ones are compared and reported in. Rates are set into it.',
  },
  rate_days_max: {
    type: 'integer',
    default: 7,
    min: 1,
    max: 366,
    example: '7',
    help: 'A rate of exchange older than so many days is not used; sources that need it are then not bought from.',
  },
  offers_hot_ms: {
    type: 'integer',
    default: 60_000,
    min: 5_000,
    max: DAY_MS,
    example: '60000',
    help: 'How often the offers of products that sell are read again.',
  },
  offers_cold_ms: {
    type: 'integer',
    default: 3_600_000,
    min: 60_000,
    max: 7 * DAY_MS,
    example: '3600000',
    help: "How often a supplier's whole list of offers is read.",
  },
  offers_stale_ms: {
    type: 'integer',
    default: 7_200_000,
    min: 60_000,
    max: 30 * DAY_MS,
    example: '7200000',
    help: 'How old an offer may be before it is bought from only where the supplier itself holds our ceiling.',
  },
  offers_share_percent: {
    type: 'integer',
    default: 25,
    min: 1,
    max: 90,
    example: '25',
    help: "The share of a supplier's allowed requests that reading its offers may take.",
  },
  offers_concurrency: {
    type: 'integer',
    default: 8,
    min: 1,
    max: 200,
    example: '8',
    help: 'Accounts whose offers this process reads at a time.',
  },
} as const satisfies Record<string, Option>;
