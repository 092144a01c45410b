// All channels of this process, opened when first needed and reopened when their account's row has changed.
import type { Supplier } from '../../adapters/kit/contract.js';
import type { OpenAccount } from './accounts.js';
import { Channel, type ChannelOptions } from './channel.js';

export interface Channels {
  /** The account's channel. Throws `GatewayError('not_found')` if there is no such account. */
  channel(account: string): Promise<Channel>;
  /** Whether the account's breaker is open in this process. */
  isOpen(account: string): boolean;
  /** Channels opened so far. */
  opened(): readonly Channel[];
  close(): Promise<void>;
}

/** How long an account's row is believed before it is read again. */
const FRESH_MS = 5_000;

export interface ChannelsParts {
  readAccount: (account: string) => Promise<OpenAccount>;
  supplierFor: (adapter: string) => Supplier;
  options: ChannelOptions;
}

export function createChannels({ readAccount, supplierFor, options }: ChannelsParts): Channels {
  const channels = new Map<string, { channel: Channel; read_at: number }>();
  const opening = new Map<string, Promise<Channel>>();

  async function open(account: string): Promise<Channel> {
    const known = channels.get(account);
    const row = await readAccount(account);
    if (known && known.channel.account.updated_at === row.updated_at) {
      known.read_at = options.now();
      return known.channel;
    }
    const channel = new Channel(row, supplierFor(row.adapter), options);
    channels.set(account, { channel, read_at: options.now() });
    // Calls under way keep the old lines until they end; closing them would cut a purchase.
    if (known) void retire(known.channel);
    return channel;
  }

  return {
    channel: async (account) => {
      const known = channels.get(account);
      if (known && options.now() - known.read_at < FRESH_MS) return known.channel;
      let promise = opening.get(account);
      if (!promise) {
        promise = open(account).finally(() => opening.delete(account));
        opening.set(account, promise);
      }
      return promise;
    },
    isOpen: (account) => channels.get(account)?.channel.is_open ?? false,
    opened: () => [...channels.values()].map((entry) => entry.channel),
    close: async () => {
      await Promise.all([...channels.values()].map((entry) => entry.channel.close()));
      channels.clear();
    },
  };
}

async function retire(channel: Channel): Promise<void> {
  const check = setInterval(() => {
    if (channel.in_flight > 0) return;
    clearInterval(check);
    void channel.close();
  }, 1_000);
  check.unref();
}
