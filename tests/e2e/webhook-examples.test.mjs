// Every delivery that Octokit has collected from GitHub, signed: none may cause an internal error.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';

import { faults } from './support/internet.mjs';
import { GITHUB_API, World } from './support/world.mjs';

const events = createRequire(import.meta.url)('@octokit/webhooks-examples');

/** What may ask GitHub, and when. Everything else is answered without any request. */
function mayAsk(name, { action, installation, sender }) {
  if (!installation) return false;
  if (name === 'pull_request') return ['opened', 'synchronize', 'reopened'].includes(action);
  if (name === 'merge_group') return action === 'checks_requested';
  if (name === 'check_suite') return ['requested', 'rerequested'].includes(action) && sender.type !== 'Bot';
  // No push among them touches a policy, and no check run is ours.
  return false;
}

describe('the deliveries that Octokit has collected', () => {
  let world;
  before(async () => {
    world = await World.start();
  });
  after(() => world?.stop());

  test('are 329 of 58 events', () => {
    assert.deepEqual([events.length, events.flatMap(({ examples }) => examples).length], [58, 329]);
  });

  for (const { name, examples } of events) {
    test(`${name}: ${examples.length}`, async () => {
      for (const payload of examples) {
        const label = `${name} ${payload.action ?? ''}`;
        world.internet.reset();
        // The repositories of the examples are not ours: if GitHub may be asked, it limits the rate.
        const limit = faults.answer({ status: 429, headers: { 'retry-after': '60' } });
        world.internet.breakNext({ host: GITHUB_API }, limit, Number.POSITIVE_INFINITY);
        const { status, body } = await world.deliver(name, payload);
        const asked = world.internet.requests.length;
        if (asked > 0) {
          assert.ok(mayAsk(name, payload), `${label} asked GitHub`);
          assert.deepEqual([status, body.status, asked], [200, 'rate_limited', 1], label);
        } else {
          assert.ok(!mayAsk(name, payload), `${label} asked nobody`);
          assert.ok(status === 202 || status === 200, `${label}: ${status} ${JSON.stringify(body)}`);
        }
      }
    });
  }
});
