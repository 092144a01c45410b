// Simulated suppliers: real HTTP servers with books of their own and faults on demand, in the built-in protocol or in that
// of a real supplier, whose signatures they check. They run in tests, drills and the demo, in this process or in another
// one (drive that one by `/_control`).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { callbackSender, type SentCallback } from './kit/calling-back.js';
import { type Fault, type FaultName, type FaultRule, faultBook, refusalOf } from './kit/faults.js';
import { type Answer, type Call, type Counter, type CounterDesk, deskOf, type Protocol } from './kit/protocol.js';
import { obey } from './kit/remote.js';
import { type Books, Shop, type ShopOptions, type ShopOrder, type ShopProduct } from './kit/shop.js';
import { sameText } from './kit/signing.js';
import { protocolFor } from './protocols/register.js';

export interface SimulatorOptions extends Partial<ShopOptions> {
  /** Code of the adapter whose protocol it speaks; default the built-in one. */
  protocol?: string;
  /** Default: loopback, any free port. */
  host?: string;
  port?: number;
  /** Those of the built-in protocol; other protocols take `credentials`. */
  app_key?: string;
  app_secret?: string;
  /** In place of the protocol's own, by name. */
  credentials?: Record<string, string>;
  /** Where callbacks go when an order names no address of its own. */
  callback_url?: string;
  /** Wait before each answer. */
  latency_ms?: number;
}

const BODY_LIMIT = 1_000_000;

/** Starts the server. Rejects with the system's error if the address cannot be listened on. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = new Simulator(options);
  await simulator.listenAgain();
  return simulator;
}

export class Simulator {
  readonly protocol: Protocol;
  readonly credentials: Readonly<Record<string, string>>;
  /** Base URL for the account, without a trailing slash. */
  url = '';
  latency_ms: number;
  readonly #host: string;
  #port: number;
  readonly #shop: Shop;
  readonly #desk: CounterDesk;
  readonly #counter: Counter;
  readonly #faults = faultBook();
  readonly #calling: ReturnType<typeof callbackSender>;
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch(() => response.destroy());
  });
  readonly #timers = new Set<NodeJS.Timeout>();
  #hanging: (() => void)[] = [];

  constructor(options: SimulatorOptions) {
    const protocol = protocolFor(options.protocol ?? 'simulated');
    const { app_key, app_secret } = options;
    this.protocol = protocol;
    this.credentials = {
      ...protocol.credentials,
      ...(app_key === undefined ? {} : { app_key }),
      ...(app_secret === undefined ? {} : { app_secret }),
      ...options.credentials,
    };
    this.latency_ms = options.latency_ms ?? 0;
    this.#host = options.host ?? '127.0.0.1';
    this.#port = options.port ?? 0;
    const clock = options.clock ?? Date.now;
    this.#shop = new Shop({
      name: options.name ?? protocol.code,
      currency: options.currency ?? protocol.currency,
      products: options.products ?? [...protocol.products],
      balance_e4: options.balance_e4 ?? 1_000_000_000,
      repeat: options.repeat ?? protocol.repeat,
      clock,
    });
    const { credentials } = this;
    this.#desk = deskOf(protocol, { shop: this.#shop, clock, credentials });
    this.#counter = protocol.open(this.#desk);
    this.#calling = callbackSender({
      counter: this.#counter,
      credentials,
      secret: protocol.callback_secret,
      default_url: options.callback_url ?? null,
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  get app_key(): string {
    return this.credentials.app_key ?? '';
  }
  get app_secret(): string {
    return this.credentials.app_secret ?? '';
  }
  /** What an account must be to buy here. */
  get account(): {
    adapter: string;
    base_url: string;
    credentials: Readonly<Record<string, string>>;
    options: Record<string, string>;
  } {
    const { protocol, url: base_url, credentials } = this;
    return { adapter: protocol.code, base_url, credentials, options: protocol.options?.(base_url) ?? {} };
  }

  /** Lets the next matching calls go wrong (see `FAULTS`). Throws on a name that is none, or not in this protocol. */
  fault(name: string, rule: FaultRule = {}): void {
    const { code, refusals } = this.protocol;
    const is_spoil = name === 'unmapped' || name === 'no_codes';
    const is_refusal = refusalOf(name as FaultName) !== null;
    if ((is_spoil && !this.#counter.spoil) || (is_refusal && !Object.hasOwn(refusals, name))) {
      throw new Error(`the protocol of ${code} has no ${name}: let another fault happen`);
    }
    this.#faults.add(name, rule);
  }
  clearFaults(): void {
    this.#faults.clear();
  }
  /** Delivers an accepted order and calls back. False if there is none such; so below. */
  deliver(reference: string): boolean {
    return this.#end(this.#shop.finish(reference, 'delivered'));
  }
  /** Fails an accepted order, returns the money and calls back. */
  fail(reference: string): boolean {
    return this.#end(this.#shop.finish(reference, 'refused'));
  }
  /** Takes a delivered order back, refunds it and calls back. */
  reverse(reference: string): boolean {
    return this.#end(this.#shop.reverse(reference));
  }
  /** Lets hanging calls answer. */
  release(): void {
    for (const go of this.#hanging) go();
    this.#hanging = [];
  }
  /** How many calls hang. */
  get hanging(): number {
    return this.#hanging.length;
  }
  books(): Books {
    return this.#shop.books();
  }
  /** The callbacks sent so far, with what came back. */
  get callbacks(): readonly SentCallback[] {
    return this.#calling.sent;
  }
  /** Sends the callback of an order as it stands (once more); resolves when it was answered. */
  async callBack(reference: string, { forged = false } = {}): Promise<void> {
    const order = this.#shop.byReference(reference);
    if (!order) throw new Error(`there is no order with the reference ${reference}`);
    await this.#calling.send(order, forged);
  }
  /** Resolves when no callback is under way. */
  settled(): Promise<void> {
    return this.#calling.settled();
  }
  setProduct(product: ShopProduct): void {
    this.#shop.setProduct(product);
  }
  setBalance(amount_e4: number): void {
    this.#shop.balance_e4 = amount_e4;
  }

  /** Refuses connections, and breaks those there are, until `listenAgain` on the same port. */
  async stopListening(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
  async listenAgain(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, this.#host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    this.url = `http://${this.#host}:${this.#port}${this.protocol.root}`;
  }
  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.stopListening();
    await this.settled();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (body === null) return answer(response, 413, { error: 'bad_request', message: 'the body is too large' });
    const call = callOf(request, body);
    if (['/_control', `${this.protocol.root}/_control`].includes(call.path))
      return this.#control(request, response, body);
    if (this.latency_ms > 0) await this.#wait(this.latency_ms);
    const route = this.#routeOf(call);
    if (!route) return answer(response, 404, { error: 'not_found', message: 'there is no such call' });
    if (!('endpoint' in route)) return this.#reply(response, route, null);
    const fault = this.#faults.take(route.endpoint, route.order);
    const refusal = fault && refusalOf(fault.name);
    if (refusal) return this.#reply(response, this.#desk.refuse(refusal), null);
    await this.#reply(response, fault?.bought === false ? { status: 200, body: {} } : route.answer(fault), fault);
  }

  // What cannot be read is refused like anything else that makes no sense.
  #routeOf(call: Call): ReturnType<Counter['route']> {
    try {
      return this.#counter.route(call);
    } catch {
      return this.#desk.refuse('bad_request');
    }
  }

  async #reply(response: ServerResponse, { status, body, headers, order }: Answer, fault: Fault | null): Promise<void> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    switch (fault?.name) {
      case 'accept_then_drop':
        response.socket?.destroy();
        return;
      case 'bad_gateway':
        return answer(response, 502, '<html><body><h1>502 Bad Gateway</h1></body></html>', HTML);
      case 'empty_reply':
        return answer(response, 200, '');
      case 'garbage':
        return answer(response, status, text.slice(0, Math.ceil(text.length / 2)));
      case 'unmapped':
      case 'no_codes':
        return answer(response, status, this.#counter.spoil!(fault.name, body as object));
      case 'slow_drip':
        return this.#drip(response, status, text, fault.after_ms ?? 2000);
      case 'reset_after_body':
        response.writeHead(status, { 'content-type': 'application/json' });
        response.write(text, () => response.socket?.resetAndDestroy());
        return;
      case 'hang':
        await new Promise<void>((resolve) => this.#hanging.push(resolve));
        break;
      case 'callback_first':
        if (order) await this.callBack(order.reference);
    }
    answer(response, status, text, headers);
    if (order && fault) await this.#after(order, fault);
  }

  async #after({ reference }: ShopOrder, fault: Fault): Promise<void> {
    if (fault.name === 'late' && fault.after_ms !== undefined) {
      await this.#wait(fault.after_ms);
      this.deliver(reference);
    }
    if (fault.name === 'callback_forged') await this.callBack(reference, { forged: true });
    if (fault.name === 'reversed') this.reverse(reference);
    if (fault.name === 'callback_twice') {
      await this.callBack(reference);
      await this.callBack(reference);
    }
  }

  #end(order: ShopOrder | null): boolean {
    if (order) void this.#calling.send(order);
    return order !== null;
  }

  async #drip(response: ServerResponse, status: number, text: string, over_ms: number): Promise<void> {
    const bytes = Buffer.from(text);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length });
    for (let at = 0; at < bytes.length && !response.destroyed; at++) {
      response.write(bytes.subarray(at, at + 1));
      await this.#wait(over_ms / bytes.length);
    }
    response.end();
  }

  #wait(delay_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delay_ms);
      this.#timers.add(timer);
    });
  }

  // Only from this machine, or with the secret: who can order faults can order anything.
  #control(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const is_local = /^(127\.|::1$|::ffff:127\.)/.test(request.socket.remoteAddress ?? '');
    const has_secret = this.app_secret !== '' && sameText(String(request.headers['x-sim-control']), this.app_secret);
    if (!is_local && !has_secret) {
      answer(response, 403, { error: 'forbidden', message: 'send the header x-sim-control with the secret' });
    } else if (request.method === 'GET') {
      answer(response, 200, { books: this.books(), callbacks: this.callbacks });
    } else {
      try {
        answer(response, 200, { done: obey(this, body) });
      } catch (error) {
        answer(response, 400, { error: 'bad_request', message: (error as Error).message });
      }
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > BODY_LIMIT) return null;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function callOf({ method = '', url = '/', headers }: IncomingMessage, body: Buffer): Call {
  const { pathname: path, searchParams: query } = new URL(url, 'http://host.invalid');
  return { method, url, path, query, headers, body };
}

const HTML = { 'content-type': 'text/html' };

function answer(
  response: ServerResponse,
  status: number,
  body: object | string,
  headers?: Record<string, string>,
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'content-type': 'application/json', ...headers, 'content-length': length });
  response.end(text);
}
