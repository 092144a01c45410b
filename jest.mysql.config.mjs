import base from './jest.config.mjs';

// The same suite on the server named by KAMIGATE_DATABASE_URL; each test file makes and drops databases of its own there.
export default { ...base, globalSetup: '<rootDir>/test/kit/mysql-setup.mjs' };
