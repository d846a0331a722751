// The harness itself: a check that never finds anything would make every other test worthless.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { RestDescription } from './support/rest-description.mjs';
import { World } from './support/world.mjs';

describe('the judge of requests to GitHub', () => {
  const description = new RestDescription();
  const mint = (body, path = '/app/installations/1/access_tokens') =>
    description.violations({ method: 'POST', path, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const get = (path) => description.violations({ method: 'GET', path, headers: {}, body: '' });

  test('takes what GitHub describes', () => {
    assert.deepEqual(mint({ repositories: ['app'], permissions: { contents: 'read' } }), []);
    assert.deepEqual(get('/repos/acme/app/contents/.github/chainguard/deploy.sts.yaml'), []);
    assert.deepEqual(get('/orgs/acme/installation'), []);
    assert.deepEqual(get('/repos/acme/app/commits/main/check-runs?check_name=x&filter=all'), []);
    assert.deepEqual(get('/repos/acme/app/commits/a/branch'), []);
  });

  test('finds a misspelt member, an unknown permission and an unknown level', () => {
    assert.match(mint({ repository: ['app'] }).join(), /additional properties/);
    assert.match(mint({ permissions: { pull_request: 'read' } }).join(), /additional properties/);
    assert.match(mint({ permissions: { contents: 'admin' } }).join(), /allowed values/);
    assert.match(mint({ repositories: 'app' }).join(), /must be array/);
  });

  test('finds unknown paths, parameters and bodies', () => {
    assert.equal(get('/repos/acme/app/installations').length, 1);
    assert.match(get('/repos/acme/app/contents/x?branch=main').join(), /unknown query parameter branch/);
    assert.match(mint({}, '/app/installations/acme/access_tokens').join(), /not an integer/);
    const withBody = { method: 'DELETE', path: '/installation/token', headers: {}, body: '{}' };
    assert.match(description.violations(withBody).join(), /a body where none is described/);
  });
});

describe('the end of a test', () => {
  const endOf = async (mishap, complaint) => {
    const world = await World.start();
    await mishap(world);
    return assert.rejects(world.stop(), complaint);
  };

  test('finds a secret in the log', () =>
    endOf(async (world) => world.worker.logs.push({ level: 'info', message: `token ${await world.jobToken()}` }), /in a log line/));

  test('finds a secret in KV', () =>
    endOf(async (world) => (await world.worker.kv()).put('key', `x ${world.webhookSecret}`), /in a KV value/));

  test('finds a credential that went to an issuer', () =>
    endOf((world) => world.internet.requests.push({ host: 'issuer', method: 'GET', path: '/', headers: { authorization: 'x' }, body: '' }), /credential went to issuer/));

  test('finds a request that GitHub would not take', () =>
    endOf((world) => world.callGitHub('ghs_x', 'GET', '/nowhere'), /GitHub would not have taken/));

  test('finds a request to a stranger', () =>
    endOf((world) => world.internet.ask('stranger.example', { path: '/' }).catch(() => {}), /to strangers/));
});
