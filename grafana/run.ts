// `npm run dashboards`: writes the made files into grafana/ of the folder it is run in.
import { madeFiles, writeMadeFiles } from './build.js';

writeMadeFiles('grafana');
process.stdout.write(`${[...madeFiles().keys()].map((path) => `grafana/${path}`).join('\n')}\n`);
