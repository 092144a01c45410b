// The built-in supplier: a real HTTP server with a signed protocol, books of its own, and faults on demand. It runs in
// tests, drills and the demo, in this process or in another one (drive that one by `/_control`).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { callbackSender, type SentCallback } from './kit/calling-back.js';
import { type Answer, eventOf, forgedEventOf, routeOf, signatureGuard } from './kit/counter.js';
import { type Fault, type FaultRule, faultBook, REFUSAL_STATUS } from './kit/faults.js';
import * as read from './kit/reading.js';
import { type Books, Shop, type ShopOptions, type ShopOrder, type ShopProduct } from './kit/shop.js';
import { sameText } from './kit/signing.js';

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

const BODY_LIMIT = 1_000_000;
const PRODUCTS: ShopProduct[] = [
  { product: 'code-10', kind: 'code', cost_e4: 98_000, stock: null, name: 'Gift code 10' },
  { product: 'recharge-10', kind: 'recharge', cost_e4: 97_500, stock: null, name: 'Recharge 10' },
];

/** Starts the server. Rejects with the system's error if the address cannot be listened on. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = new Simulator(options);
  await simulator.listenAgain();
  return simulator;
}

export class Simulator {
  readonly app_key: string;
  readonly app_secret: string;
  /** Base URL for the account, without a trailing slash. */
  url = '';
  latency_ms: number;
  readonly #host: string;
  #port: number;
  readonly #shop: Shop;
  readonly #faults = faultBook();
  readonly #calling: ReturnType<typeof callbackSender>;
  readonly #refuse: ReturnType<typeof signatureGuard>;
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch(() => response.destroy());
  });
  readonly #timers = new Set<NodeJS.Timeout>();
  #hanging: (() => void)[] = [];

  constructor(options: SimulatorOptions) {
    this.app_key = options.app_key ?? 'sim-key';
    this.app_secret = options.app_secret ?? 'sim-secret-0123456789abcdef';
    this.latency_ms = options.latency_ms ?? 0;
    this.#host = options.host ?? '127.0.0.1';
    this.#port = options.port ?? 0;
    const clock = options.clock ?? Date.now;
    this.#shop = new Shop({
      name: options.name ?? 'simulated',
      currency: options.currency ?? 'CNY',
      products: options.products ?? PRODUCTS,
      balance_e4: options.balance_e4 ?? 1_000_000_000,
      repeat: options.repeat ?? 'returns_original',
      clock,
    });
    const account = { app_key: this.app_key, app_secret: this.app_secret, clock };
    this.#calling = callbackSender({ ...account, default_url: options.callback_url ?? null });
    this.#refuse = signatureGuard(account);
    this.#server.keepAliveTimeout = 60_000;
  }

  /** Lets the next matching calls go wrong (see `FAULTS`). Throws on a name that is none. */
  fault(name: string, rule: FaultRule = {}): void {
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
    await this.#calling.send(order, forged ? forgedEventOf(this.#shop, order) : eventOf(this.#shop, order), forged);
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
    this.url = `http://${this.#host}:${this.#port}`;
  }
  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.stopListening();
    await this.settled();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (body === null) return answer(response, 413, { error: 'bad_request', message: 'the body is too large' });
    if (request.url?.startsWith('/_control')) return this.#control(request, response, body);
    if (this.latency_ms > 0) await this.#wait(this.latency_ms);
    const stranger = this.#refuse(request, body);
    if (stranger) return answer(response, 401, { error: 'bad_signature', message: stranger });
    const route = routeOf(this.#shop, request, body);
    if (!route) return answer(response, 404, { error: 'not_found', message: 'there is no such call' });
    const fault = this.#faults.take(route.endpoint, route.order);
    const refusal_status = fault && REFUSAL_STATUS[fault.name];
    if (refusal_status) return answer(response, refusal_status, { error: fault.name, message: `fault: ${fault.name}` });
    await this.#reply(response, fault?.bought === false ? { status: 200, body: {} } : route.answer(fault), fault);
  }

  async #reply(response: ServerResponse, { status, body, order }: Answer, fault: Fault | null): Promise<void> {
    const text = JSON.stringify(body);
    switch (fault?.name) {
      case 'accept_then_drop':
        response.socket?.destroy();
        return;
      case 'bad_gateway':
        return answer(response, 502, '<html><body><h1>502 Bad Gateway</h1></body></html>', 'text/html');
      case 'empty_reply':
        return answer(response, 200, '');
      case 'garbage':
        return answer(response, status, text.slice(0, Math.ceil(text.length / 2)));
      case 'unmapped':
        return answer(response, status, { ...body, status: 'in_review' });
      case 'no_codes':
        return answer(response, status, { ...body, codes: [] });
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
    answer(response, status, body);
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
    if (order) void this.#calling.send(order, eventOf(this.#shop, order));
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
    if (!is_local && !sameText(String(request.headers['x-sim-control'] ?? ''), this.app_secret)) {
      answer(response, 403, { error: 'forbidden', message: 'send the header x-sim-control with the secret' });
    } else if (request.method === 'GET') {
      answer(response, 200, { books: this.books(), callbacks: this.callbacks });
    } else {
      try {
        answer(response, 200, { done: this.#obey(read.parseJson(body.toString())) });
      } catch (error) {
        answer(response, 400, { error: 'bad_request', message: (error as Error).message });
      }
    }
  }

  #obey(order: unknown): boolean {
    const act = read.textAt(order, 'do');
    if (act === 'deliver' || act === 'fail' || act === 'reverse') return this[act](read.textAt(order, 'reference'));
    if (act === 'fault') this.fault(read.textAt(order, 'fault'), ruleOf(order));
    else if (act === 'clear') this.clearFaults();
    else if (act === 'release') this.release();
    else if (act === 'balance') this.setBalance(read.integerAt(order, 'amount_e4'));
    else if (act === 'latency') this.latency_ms = read.integerAt(order, 'latency_ms');
    else if (act === 'product') this.setProduct(productOf(order));
    else
      throw new Error(`do is "${act}": use fault, clear, release, deliver, fail, reverse, balance, latency or product`);
    return true;
  }
}

function ruleOf(order: unknown): FaultRule {
  const whole = (name: string) =>
    read.maybeTextAt(order, name) === undefined ? undefined : read.integerAt(order, name);
  const rule = {
    times: whole('times'),
    after_ms: whole('after_ms'),
    cost_e4: whole('cost_e4'),
    units: whole('units'),
    product: read.maybeTextAt(order, 'product'),
    account: read.maybeTextAt(order, 'account'),
    endpoint: read.maybeTextAt(order, 'endpoint'),
    bought: read.maybeTextAt(order, 'bought') === 'false' ? false : undefined,
  };
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as FaultRule;
}

function productOf(order: unknown): ShopProduct {
  return {
    product: read.textAt(order, 'product'),
    kind: read.textAt(order, 'kind') === 'recharge' ? 'recharge' : 'code',
    cost_e4: read.integerAt(order, 'cost_e4'),
    stock: read.maybeTextAt(order, 'stock') === undefined ? null : read.integerAt(order, 'stock'),
  };
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

function answer(response: ServerResponse, status: number, body: object | string, type = 'application/json'): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
