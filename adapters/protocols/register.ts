// Every supplier's protocol that a simulated supplier can speak, one line each; `simulated` is the built-in one.
import { simulatedProtocol } from '../kit/counter.js';
import type { Protocol } from '../kit/protocol.js';
import { digiflazzProtocol } from './digiflazz.js';
import { dtoneProtocol } from './dtone.js';
import { dujiaoNextProtocol } from './dujiao-next.js';
import { fuluProtocol } from './fulu.js';
import { kakayunProtocol } from './kakayun.js';
import { kasushouProtocol } from './kasushou.js';
import { lansexiongdiProtocol } from './lansexiongdi.js';
import { reloadlyProtocol } from './reloadly.js';
import { tremendousProtocol } from './tremendous.js';
import { woohooProtocol } from './woohoo.js';
import { xinghaiProtocol } from './xinghai.js';
import { xingquanyiProtocol } from './xingquanyi.js';
import { yileProtocol } from './yile.js';

/** Code of an adapter → the protocol it speaks, seen from the supplier's side. */
export const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  digiflazz: digiflazzProtocol,
  dtone: dtoneProtocol,
  'dujiao-next': dujiaoNextProtocol,
  fulu: fuluProtocol,
  kakayun: kakayunProtocol,
  kasushou: kasushouProtocol,
  lansexiongdi: lansexiongdiProtocol,
  reloadly: reloadlyProtocol,
  simulated: simulatedProtocol,
  tremendous: tremendousProtocol,
  woohoo: woohooProtocol,
  xinghai: xinghaiProtocol,
  xingquanyi: xingquanyiProtocol,
  yile: yileProtocol,
};

/** The protocol of a code. Throws an Error that names those there are. */
export function protocolFor(code: string): Protocol {
  const protocol = Object.hasOwn(PROTOCOLS, code) ? PROTOCOLS[code] : undefined;
  if (protocol) return protocol;
  throw new Error(`there is no simulated supplier for "${code}": use one of ${Object.keys(PROTOCOLS).join(', ')}`);
}
