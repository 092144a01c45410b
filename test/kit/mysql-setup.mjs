// Before the suite on MariaDB/MySQL: is there a server at KAMIGATE_DATABASE_URL? Asked once, so that a wrong address
// is one clear sentence and not a thousand failed tests. Never prints the password.
import mysql from 'mysql2/promise';

const EXAMPLE = 'KAMIGATE_DATABASE_URL=mysql://root@127.0.0.1:3306/test npm run test:mysql';

export default async function checkServer() {
  const text = process.env.KAMIGATE_DATABASE_URL ?? '';
  if (!text.startsWith('mysql://') || !URL.canParse(text)) {
    throw new Error(`KAMIGATE_DATABASE_URL is not set to a mysql:// URL. Run it such as: ${EXAMPLE}`);
  }
  const url = new URL(text);
  try {
    const connection = await mysql.createConnection({
      host: url.hostname,
      port: Number(url.port || 3306),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      connectTimeout: 10_000,
    });
    const [[{ version }]] = await connection.query('SELECT VERSION() AS version');
    await connection.end();
    console.log(`\nOn ${version} at ${url.host}; each test file makes and drops databases of its own there.`);
  } catch (error) {
    throw new Error(
      `no MariaDB or MySQL answers at ${url.host} (${error.code ?? error.message}). Start one, or run it such as: ${EXAMPLE}`,
    );
  }
}
