// The issuance journal: an append-only folder outside the database that says which codes were issued. A database that
// is put back from a backup has forgotten them; the journal has not. It holds ids and hashes, never content.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { VaultError } from './errors.js';

/** Units of one order: unit number, generation, code id. */
export type JournalUnit = [number, number, string];

export type JournalEntry =
  /** The first line of each file. */
  | { type: 'opened'; journal_id: string; at: number }
  /** `early`: written for a reveal, perhaps before the issue was committed. */
  | { type: 'issued'; order_id: string; sku: string; at: number; units: JournalUnit[]; early?: true }
  /** A database whose chain has this link has all that stands in this file before byte `covers`. */
  | { type: 'mark'; seq: number; hash: string; at: number; covers: number }
  | { type: 'head'; seq: number; hash: string; at: number; key_version: number; signature: string }
  /** All that these files held up to these sizes was put into the database by the record `entry_id`. */
  | { type: 'replayed'; entry_id: string; covers: Record<string, number> };

/** One line of one file, and where the next one begins. */
export interface JournalLine {
  file: string;
  entry: JournalEntry;
  end: number;
}

export interface Journal {
  readonly folder: string;
  /** The id in the files, or null while there is none. Throws `journal` if the files disagree. */
  id(): string | null;
  /** Begins this process's own file. */
  begin(journal_id: string, at: number): Promise<void>;
  /** Writes entries and waits until they are on the disk. Many callers at once share one wait. */
  append(entries: JournalEntry[]): Promise<void>;
  /** Bytes in this process's own file. */
  position(): number;
  /** Every line of every file, oldest file first. Throws `journal` for a damaged line that is not a file's last. */
  read(): Generator<JournalLine>;
  close(): Promise<void>;
}

/** A journal in a folder of its own, on another disk than the database if there is one. Makes the folder. */
export function openJournal(folder: string): Journal {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return new FolderJournal(folder);
}

interface Waiting {
  text: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

class FolderJournal implements Journal {
  readonly folder: string;
  #file: FileHandle | null = null;
  #size = 0;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;

  constructor(folder: string) {
    this.folder = folder;
  }

  id(): string | null {
    let id: string | null = null;
    for (const name of this.#files()) {
      const first = this.#lines(name).next();
      if (first.done || first.value.entry.type !== 'opened') continue;
      const { journal_id } = first.value.entry;
      if (id !== null && id !== journal_id) throw damaged(this.folder, `${name} belongs to another journal`);
      id = journal_id;
    }
    return id;
  }

  async begin(journal_id: string, at: number): Promise<void> {
    if (this.#file) return;
    const name = `issues-${String(at).padStart(15, '0')}-${process.pid}-${randomBytes(4).toString('hex')}.log`;
    this.#file = await open(join(this.folder, name), 'ax', 0o600);
    await this.append([{ type: 'opened', journal_id, at }]);
  }

  append(entries: JournalEntry[]): Promise<void> {
    if (entries.length === 0) return Promise.resolve();
    const text = entries.map(lineOf).join('');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ text, resolve, reject });
      this.#writing ??= this.#write().finally(() => {
        this.#writing = null;
      });
    });
  }

  position(): number {
    return this.#size;
  }

  *read(): Generator<JournalLine> {
    for (const name of this.#files()) yield* this.#lines(name);
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const together = this.#waiting.splice(0);
      try {
        if (!this.#file) throw damaged(this.folder, 'it was not begun');
        const bytes = Buffer.from(together.map((one) => one.text).join(''), 'utf8');
        await this.#file.appendFile(bytes);
        await this.#file.datasync();
        this.#size += bytes.length;
        for (const one of together) one.resolve();
      } catch (cause) {
        // Half a line must not stay in the middle of the file.
        await this.#file?.truncate(this.#size).catch(() => undefined);
        const error = damaged(this.folder, 'it cannot be written', cause);
        for (const one of together) one.reject(error);
      }
    }
  }

  #files(): string[] {
    if (!existsSync(this.folder)) return [];
    return readdirSync(this.folder)
      .filter((name) => /^issues-.*\.log$/.test(name))
      .sort();
  }

  *#lines(name: string): Generator<JournalLine> {
    // One process's file: tens of megabytes for a million issues, read once at a start.
    const bytes = readFileSync(join(this.folder, name));
    for (let at = 0; at < bytes.length; ) {
      const newline = bytes.indexOf(10, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      const entry = newline < 0 ? null : parseLine(bytes.toString('utf8', at, newline));
      if (entry) yield { file: name, entry, end };
      // A line cut short at the very end is a write that a crash interrupted: it was never waited for.
      else if (end < bytes.length) throw damaged(this.folder, `${name} is damaged at byte ${at}`);
      at = end;
    }
  }
}

/** How far each file can be read now. */
export function sizesOf(journal: Journal): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const { file, end } of journal.read()) sizes[file] = end;
  return sizes;
}

// Sixteen hex digits of SHA-256 before each line tell a whole line from a torn or edited one.
function lineOf(entry: JournalEntry): string {
  const json = JSON.stringify(entry);
  return `${checksum(json)} ${json}\n`;
}

function parseLine(line: string): JournalEntry | null {
  const json = line.slice(17);
  return line[16] === ' ' && checksum(json) === line.slice(0, 16) ? (JSON.parse(json) as JournalEntry) : null;
}

function checksum(json: string): string {
  return createHash('sha256').update(json).digest('hex').slice(0, 16);
}

function damaged(folder: string, why: string, cause?: unknown): VaultError {
  return new VaultError('journal', `the issuance journal in ${folder} is unusable: ${why}`, {
    field: 'journal_dir',
    fix: 'Make the folder writable and free of foreign files, or put the journal back from its own copy.',
    ...(cause === undefined ? {} : { cause }),
  });
}
