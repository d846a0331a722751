// What `make deploy` does if the smoke test fails, with the real wrangler and Cloudflare's API on loopback.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { smoke } from '../../scripts/deploy/smoke.mjs';
import { Place, SECRETS } from './tree.mjs';

describe('where the smoke test fails', () => {
  let place;

  beforeEach(async () => {
    place = await Place.start();
  });
  afterEach(() => place.stop());

  for (const [what, path, answer, message] of [
    ['a secret is empty', '/readyz', { status: 503, json: { status: 'unready', missing: ['GITHUB_APP_ID'], malformed: ['GITHUB_APP_PRIVATE_KEY'] } }, /\/readyz is not ready: `GITHUB_APP_ID` is missing, `GITHUB_APP_PRIVATE_KEY` is malformed/],
    ['it does not run', '/healthz', { status: 500, text: 'error code: 1101' }, /\/healthz answers with 500 and something that is no JSON/],
    ['an exchange without a token is answered', '/sts/exchange', { json: {} }, /an exchange without a token/],
    ['it does not answer', '/healthz', { reset: true }, /\/healthz does not answer/],
    ['it redirects', '/readyz', { status: 302, json: {} }, /\/readyz/],
  ]) {
    test(`because ${what}`, async () => {
      place.answers[path] = answer;
      const failed = await smoke(place.service.url, { domain: 'sts.acme.test', hasIssuerKey: false });
      assert.match(failed.map(({ name, problem }) => `${name} ${problem}`).join('\n'), message);
    });
  }

  test('it goes back to the version before, and says so', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
    const [old] = worker.deployments;
    place.answers['/readyz'] = { status: 503, json: { status: 'unready', missing: ['GITHUB_APP_ID'] } };
    const { code, log } = await place.deploy();
    assert.equal(code, 1, log);
    assert.match(log, /the smoke test failed: \/readyz is not ready: `GITHUB_APP_ID` is missing/);
    assert.match(log, new RegExp(`rolled back to the version before, ${old}`));
    assert.equal(worker.deployments.length, 3);
    assert.equal(worker.deployments.at(-1), old);
  });

  test('the metadata is looked at where there is a key for it', async () => {
    const asked = { domain: 'sts.acme.test', hasIssuerKey: true };
    place.answers['/.well-known/openid-configuration'] = { json: { issuer: 'https://sts.other.test' } };
    assert.match((await smoke(place.service.url, asked))[0].problem, /name the issuer `https:\/\/sts\.other\.test`/);
    place.answers['/.well-known/openid-configuration'] = { json: { issuer: 'https://sts.acme.test' } };
    assert.deepEqual(await smoke(place.service.url, asked), []);
  });

  test('a service that needs a moment gets it', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
    let asked = 0;
    const ready = place.answers['/readyz'];
    place.answers['/readyz'] = () => ((asked += 1) < 3 ? { status: 503, json: { status: 'unready' } } : ready);
    const { code, log } = await place.deploy({ STS_SMOKE_SECONDS: '20' });
    assert.equal(code, 0, log);
    assert.equal(worker.deployments.length, 2);
    assert.equal(asked, 4, 'well twice in a row');
  });

  test('and there is no version before: the new one stays', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, versions: 0 });
    place.answers['/healthz'] = { reset: true };
    const { code, log } = await place.deploy();
    assert.equal(code, 1, log);
    assert.match(log, /the new version stays: there is none before it/);
    assert.equal(worker.deployments.length, 1);
  });

  test('and a migration lies between: the new one stays', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS });
    place.answers['/healthz'] = { reset: true };
    const { code, log } = await place.deploy();
    assert.equal(code, 1, log);
    assert.match(log, /the new version stays: the migration `v2` of a Durable Object lies between/);
    assert.equal(worker.deployments.length, 2);
  });

  test('and Cloudflare refuses: the new one stays', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
    place.answers['/healthz'] = { reset: true };
    place.cloudflare.refusesRollback = 'a migration lies between';
    const { code, log } = await place.deploy();
    assert.equal(code, 1, log);
    assert.match(log, /the new version stays: Cloudflare refuses to go back/);
    assert.equal(worker.deployments.length, 2);
  });
});
