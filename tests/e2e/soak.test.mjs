// A short soak, so that `make soak` cannot rot: the same exchanges, changes, faults and oracle.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Soak } from '../soak/soak.mjs';

let soak;
before(async () => {
  soak = await Soak.start({ seed: 1 });
});
after(() => soak?.stop());

test('every answer of two thousand exchanges is explained', async () => {
  await soak.run(2000);
  assert.deepEqual(soak.complaints(), []);
  const { outcomes, figures } = soak.oracle;
  assert.equal(Object.values(outcomes).reduce((sum, count) => sum + count, 0), 2000);
  // A soak in which little happens proves little.
  assert.ok(figures.grants > 1000, `${figures.grants} grants`);
  for (const outcome of ['401 invalid_token', '403 permission_denied', '404 policy_not_found', '503 unavailable']) {
    assert.ok(outcomes[outcome] > 0, outcome);
  }
  assert.ok(Object.keys(soak.internet.faults).length > 10 && soak.deliveries > 0);
});

test('an oracle that reads the policies otherwise objects', async () => {
  // What it believes of them, not what they say: so would a Worker look that grants something else.
  for (const { history } of soak.world.policies) history.current.permissions = { contents: 'write', administration: 'write' };
  await soak.run(500);
  assert.ok(soak.oracle.unexplained.some(({ complaint }) => complaint === "the permissions are not the policy's"));
});
