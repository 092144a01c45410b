// When a supplier is closed, by its own clock: weekly windows with a zone, as the account declares them. Pure; what was
// read once is kept by its text.
import { LRUCache } from 'lru-cache';

/** A window as it is declared and stored. `to` before or at `from` means the next day. */
export interface MaintenanceWindow {
  /** `HH:MM` in `zone`. */
  from: string;
  to: string;
  /** An IANA name such as Asia/Shanghai. */
  zone: string;
  /** The days it begins on; left out: every day. */
  days?: readonly Day[];
}
export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

const DAY_MIN = 24 * 60;
const WEEK_MIN = 7 * DAY_MIN;

/** The windows of an account's `maintenance` text; null where it has none. */
export function readMaintenance(text: string | null): readonly MaintenanceWindow[] | null {
  if (text === null) return null;
  let windows = kept.get(text);
  if (!windows) {
    windows = JSON.parse(text) as MaintenanceWindow[];
    kept.set(text, windows);
  }
  return windows;
}
const kept = new LRUCache<string, readonly MaintenanceWindow[]>({ max: 2_000 });

/** Whether `now` lies in one of the windows. A window's first minute belongs to it, its last does not. */
export function isInMaintenance(windows: readonly MaintenanceWindow[], now: number): boolean {
  return windows.some((window) => {
    const local = minuteOfWeek(window.zone, now);
    const from = minuteOfDay(window.from);
    const length = (minuteOfDay(window.to) - from + DAY_MIN) % DAY_MIN || DAY_MIN;
    return DAYS.some((day, index) => {
      if (window.days && !window.days.includes(day)) return false;
      // Counted from the window's beginning, around the end of the week.
      return (local - (index * DAY_MIN + from) + WEEK_MIN) % WEEK_MIN < length;
    });
  });
}

/** Whether this machine knows the zone. */
export function isZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

function minuteOfDay(text: string): number {
  const [hours = '0', minutes = '0'] = text.split(':');
  return Number(hours) * 60 + Number(minutes);
}

/** Zone → the minute it was last asked about, and what minute of the week that is there: formatting costs 20 µs. */
const last_asked = new Map<string, { minute: number; local: number }>();

function minuteOfWeek(zone: string, now: number): number {
  const minute = Math.floor(now / 60_000);
  const known = last_asked.get(zone);
  if (known?.minute === minute) return known.local;
  const parts = Object.fromEntries(
    formatOf(zone)
      .formatToParts(now)
      .map(({ type, value }) => [type, value]),
  );
  const day = DAYS.indexOf(String(parts.weekday).toLowerCase() as Day);
  const local = day * DAY_MIN + Number(parts.hour) * 60 + Number(parts.minute);
  last_asked.set(zone, { minute, local });
  return local;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(zone, format);
  }
  return format;
}
