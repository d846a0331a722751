// `make deploy`'s script with the real wrangler and Cloudflare's API on loopback: what it deploys, and what it refuses to.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { readSettings } from '../../scripts/deploy/settings.mjs';
import { FILLED, Place, ROOT, SECRETS } from './tree.mjs';

describe('make deploy', () => {
  let place;

  beforeEach(async () => {
    place = await Place.start();
  });
  afterEach(() => place.stop());

  test('deploys what is committed, and says so', async () => {
    place.commit();
    const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
    const { code, log } = await place.deploy();
    assert.equal(code, 0, log);
    assert.equal(worker.deployments.length, 2);
    assert.match(log, /\[deploy\] sts\.acme\.test is well/);
    assert.match(JSON.stringify(worker.metadata.annotations), /commit [0-9a-f]{12}/);
    assert.deepEqual(place.service.requests.slice(-3).map(({ headers }) => headers.authorization), [undefined, undefined, undefined]);
  });

  test('an environment has its own settings, Worker and secrets', async () => {
    place.commit(`${FILLED}\n[env.staging]\nroutes = [{ pattern = "sts.staging.acme.test", custom_domain = true }]\n[env.staging.vars]\nDOMAIN = "sts.staging.acme.test"\n[[env.staging.kv_namespaces]]\nbinding = "OCTO_STS_KV"\nid = "abcdef0123456789abcdef0123456789"\n[[env.staging.durable_objects.bindings]]\nname = "USED_TOKENS"\nclass_name = "UsedToken"\n`);
    const worker = place.cloudflare.worker('octo-sts-staging', { secrets: SECRETS, migrationTag: 'v2' });
    const { code, log } = await place.deploy({ ENV: 'staging' });
    assert.equal(code, 0, log);
    assert.equal(worker.deployments.length, 2);
    assert.match(log, /sts\.staging\.acme\.test is well/);
  });

  describe('refuses, names the line and deploys nothing', () => {
    const lines = FILLED.split('\n');
    const lineOf = (start) => lines.findIndex((line) => line.startsWith(start)) + 1;
    for (const [what, change, env, message] of [
      ['the namespace of nobody', ['0123456789abcdef0123456789abcdef', '0'.repeat(32)], {}, new RegExp(`wrangler\\.toml:${lineOf('id =')}: the id is a placeholder; \`npx wrangler kv`)],
      ['no namespace', ['binding = "OCTO_STS_KV"', 'binding = "OTHER"'], {}, new RegExp(`wrangler\\.toml:${lineOf('[[kv_namespaces]]')}: \`OCTO_STS_KV\` is not bound`)],
      ['the domain of the example', ['DOMAIN = "sts.acme.test"', 'DOMAIN = "sts.example.com"'], {}, new RegExp(`wrangler\\.toml:${lineOf('DOMAIN')}: \`sts\\.example\\.com\` is a placeholder`)],
      ['no domain', ['DOMAIN = "sts.acme.test"', ''], {}, new RegExp(`wrangler\\.toml:${lineOf('[vars]')}: \`DOMAIN\` is missing`)],
      ['no route', ['routes = [{', '# routes = [{'], {}, new RegExp(`wrangler\\.toml:${lineOf('routes')}: there is no route`)],
      ['the route of the example', ['pattern = "sts.acme.test"', 'pattern = "sts.example.com"'], {}, new RegExp(`wrangler\\.toml:${lineOf('routes')}: \`sts\\.example\\.com\` is a placeholder`)],
      ['a route to somewhere else', ['pattern = "sts.acme.test"', 'pattern = "other.acme.test"'], {}, new RegExp(`wrangler\\.toml:${lineOf('routes')}: no route leads to \`sts\\.acme\\.test\``)],
      ['a variable above 5 KB', ['DOMAIN = "sts.acme.test"', `DOMAIN = "sts.acme.test"\nUPSTREAMS = "${'x'.repeat(5121)}"`], {}, new RegExp(`wrangler\\.toml:${lineOf('DOMAIN') + 1}: \`UPSTREAMS\` has 5121 bytes, and Cloudflare allows 5120`)],
      ['an object above 5 KB', ['[vars]', `[vars.UPSTREAMS]\na = "${'x'.repeat(5121)}"\n[vars]`], {}, new RegExp(`wrangler\\.toml:${lineOf('[vars]')}: \`UPSTREAMS\` has`)],
      ['an environment that is not there', ['', ''], { ENV: 'prod' }, /there is no environment `prod`; add `\[env\.prod\]`/],
      ['an environment without a namespace', ['[observability]', '[env.prod.vars]\nDOMAIN = "sts.acme.test"\n[observability]'], { ENV: 'prod' }, /`OCTO_STS_KV` is not bound/],
    ]) {
      test(what, () => {
        const path = join(place.folder, 'wrangler.toml');
        writeFileSync(path, FILLED.replace(change[0], () => change[1]));
        const { problems } = readSettings(path, env.ENV);
        assert.ok(problems.some((problem) => message.test(problem)), problems.join('\n'));
      });
    }

    test('nothing of what is filled in', () => {
      const path = join(place.folder, 'wrangler.toml');
      writeFileSync(path, FILLED);
      assert.deepEqual(readSettings(path, undefined).problems, []);
      writeFileSync(path, FILLED.replace('pattern = "sts.acme.test", custom_domain = true', 'pattern = "*.acme.test/*", zone_name = "acme.test"'));
      assert.deepEqual(readSettings(path, undefined).problems, []);
    });

    test('a secret that is not set, of a Worker that exists or not', async () => {
      place.commit();
      for (const secrets of [undefined, { GITHUB_APP_ID: '1' }]) {
        const worker = secrets && place.cloudflare.worker('octo-sts', { secrets });
        const { code, log } = await place.deploy();
        assert.equal(code, 1, log);
        assert.match(log, /the secret `GITHUB_APP_PRIVATE_KEY` is not set; `npx wrangler secret put GITHUB_APP_PRIVATE_KEY`/);
        assert.equal(/`GITHUB_APP_ID` is not set/.test(log), secrets === undefined);
        assert.match(log, /nothing was deployed/);
        assert.equal(worker?.deployments.length ?? 1, 1);
        assert.ok(place.cloudflare.server.requests.every(({ method }) => method === 'GET'));
      }
    });

    test('secrets that cannot be listed', async () => {
      place.commit();
      const { code, log } = await place.deploy({ CLOUDFLARE_API_TOKEN: 'wrong' });
      assert.equal(code, 1, log);
      assert.match(log, /cannot be listed/);
    });

    test('a tree with changes', async () => {
      place.commit();
      place.cloudflare.worker('octo-sts', { secrets: SECRETS });
      writeFileSync(join(place.folder, 'build/new.js'), '');
      const { code, log } = await place.deploy();
      assert.equal(code, 1, log);
      assert.match(log, /changes that no commit has; `git commit -a`[^]*build\/new\.js/);
    });

    test('a folder that is no repository', async () => {
      writeFileSync(join(place.folder, 'wrangler.toml'), FILLED);
      place.cloudflare.worker('octo-sts', { secrets: SECRETS });
      const { code, log } = await place.deploy({ GIT_CEILING_DIRECTORIES: tmpdir() });
      assert.equal(code, 1, log);
      assert.match(log, /this is no git repository/);
    });

    test('a variable that Cloudflare would not take', async () => {
      place.commit(FILLED.replace('[vars]', `[vars]\nUPSTREAMS = "${'x'.repeat(5121)}"`));
      const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
      const { code, log } = await place.deploy();
      assert.equal(code, 1, log);
      assert.match(log, /wrangler\.toml:\d+: `UPSTREAMS` has 5121 bytes[^]*nothing was deployed/);
      assert.equal(worker.deployments.length, 1);
    });

    test('everything at once', async () => {
      place.commit(readFileSync(`${ROOT}wrangler.toml`, 'utf8'));
      const { log } = await place.deploy();
      assert.equal(log.match(/placeholder|no route|is not set/g).length, 5, log);
      assert.match(log, /nothing was deployed/);
      assert.ok(place.cloudflare.server.requests.every(({ method }) => method === 'GET'));
    });
  });

  test('secrets of the environment reach Cloudflare as they are, and an empty one does not', async () => {
    place.commit();
    const pem = '-----BEGIN KEY-----\n$(touch evil) "quoted" \'too\'\n';
    const script = `${ROOT}scripts/secrets-of-environment.mjs`;
    const run = (names, env) => execFileSync(process.execPath, [script, ...names], { env: { ...env }, encoding: 'utf8', stdio: 'pipe' });
    const json = run(['GITHUB_APP_ID', 'GITHUB_APP_PRIVATE_KEY'], { GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY: pem, OTHER: 'x' });
    const worker = place.cloudflare.worker('octo-sts', { secrets: { KEPT: 'x' } });
    const child = spawn(process.execPath, [`${ROOT}node_modules/wrangler/bin/wrangler.js`, 'secret', 'bulk'], { cwd: place.folder, env: place.environment });
    child.stdin.end(json);
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    assert.deepEqual(Object.fromEntries(worker.secrets), { KEPT: 'x', GITHUB_APP_ID: '1', GITHUB_APP_PRIVATE_KEY: pem });
    assert.throws(() => run(['GITHUB_APP_ID', 'GITHUB_WEBHOOK_SECRET'], { GITHUB_APP_ID: '1', GITHUB_WEBHOOK_SECRET: '' }), /not set in the environment: GITHUB_WEBHOOK_SECRET/);
  });
});
