// The tour's storefront: the few calls it makes, over real HTTP with its key.
export interface OrderReply {
  status: number;
  is_replay: boolean;
  order: {
    id: string;
    external_id: string;
    status: string;
    final: boolean;
    refund_advice: string;
    refundable_amount: string;
    parts: { sku: string; status: string }[] | null;
    delivered_quantity: number;
    reason: { code: string } | null;
  };
}

export interface ProblemReply {
  status: number;
  code: string;
  fix: string;
  errors: { pointer: string }[];
}

export interface Client {
  key: string;
  /** Sends an order; `wait_s` asks the gateway to answer when it is final. Throws on a problem. */
  order: (body: Record<string, unknown>, wait_s?: number) => Promise<OrderReply>;
  /** Sends an order that is to be refused. */
  refusedOrder: (body: Record<string, unknown>) => Promise<ProblemReply>;
  read: (order_id: string) => Promise<OrderReply['order']>;
  /** The numbers of its codes. */
  codes: (order_id: string) => Promise<string[]>;
}

export function createClient(api_url: string, key: string): Client {
  async function call(method: string, path: string, body?: unknown, wait_s = 0): Promise<Response> {
    return fetch(`${api_url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(wait_s > 0 ? { prefer: `wait=${wait_s}` } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async function good<T>(response: Response): Promise<T> {
    const content = (await response.json()) as T & { code?: string; detail?: string };
    if (response.ok) return content;
    throw new Error(`the gateway answered ${response.status} ${content.code}: ${content.detail}`);
  }

  return {
    key,
    order: async (body, wait_s) => {
      const response = await call('POST', '/v1/orders', body, wait_s);
      const is_replay = response.headers.get('idempotent-replayed') === 'true';
      return { status: response.status, is_replay, order: await good(response) };
    },
    refusedOrder: async (body) => {
      const response = await call('POST', '/v1/orders', body);
      const problem = (await response.json()) as Omit<ProblemReply, 'status'>;
      return { ...problem, status: response.status };
    },
    read: async (order_id) => good(await call('GET', `/v1/orders/${order_id}`)),
    codes: async (order_id) => {
      const list = await good<{ data: { number: string }[] }>(await call('GET', `/v1/orders/${order_id}/codes`));
      return list.data.map(({ number }) => number);
    },
  };
}
