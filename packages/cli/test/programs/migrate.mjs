// An application's migrations with Umzug, as its documentation has it: migrate.mjs up.
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { JSONStorage, Umzug } from 'umzug';

const migration = (name) => ({
  name,
  up: async () => {
    appendFileSync('applied', `begin ${name}\n`);
    await sleep(150);
    appendFileSync('applied', `end ${name}\n`);
  },
});

const umzug = new Umzug({
  migrations: [migration('01-accounts'), migration('02-orders'), migration('03-index')],
  storage: new JSONStorage({ path: 'done.json' }),
  logger: undefined,
});

await umzug.runAsCLI();
