// The bundle against stand-ins for the service, the job's token service and GitHub: requests, outputs, and messages for
// people.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { StandIn, Step } from './runner.mjs';

const TOKEN = 'ghs_of.another-shape_2026';
const CLAIMS = { iss: 'https://token.actions.githubusercontent.com', sub: 'repo:acme/app:ref:refs/heads/dev', aud: 'sts.example.com', event_name: 'push', ref: 'refs/heads/dev' };
const oidc = (claims = CLAIMS) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
const GRANT = { token: TOKEN, access_token: TOKEN, expires_at: '2026-11-20T18:00:00Z', permissions: { contents: 'read' }, repositories: ['app'], request_id: 'r-1' };

const standIns = [];
afterEach(async () => {
  await Promise.all(standIns.splice(0).map((standIn) => standIn.stop()));
});

async function standIn(answer) {
  const started = await StandIn.start(answer);
  standIns.push(started);
  return started;
}

/** A service with the given routes, and the job's token service. */
async function job({ routes = {}, inputs = {}, claims, env } = {}) {
  const asked = [];
  const service = await standIn((request) => {
    const path = request.path.split('?')[0];
    if (path === '/idtoken') return { json: { value: oidc(claims) } };
    asked.push(request);
    const route = routes[`${request.method} ${path}`] ?? (path === '/sts/revoke' ? { status: 204 } : { json: GRANT });
    return typeof route === 'function' ? route(request, asked.length) : route;
  });
  const step = new Step({ tokens: service.url, inputs: { domain: service.host, identity: 'deploy', ...inputs }, env });
  return { service, asked, step };
}

/** Every log line that shows the token, except the one that masks it. */
const shown = (log, secret) => log.split('\n').filter((line) => line.includes(secret) && !line.startsWith('::add-mask::'));

describe('the inputs and outputs of octo-sts/action', () => {
  test('domain, scope and identity give the output token', async () => {
    const { step, asked, service } = await job({ inputs: { scope: 'acme/other' } });
    const { code, outputs, log } = await step.main();
    assert.equal(code, 0, log);
    assert.equal(outputs.token, TOKEN);
    assert.equal(asked.length, 1);
    const url = new URL(asked[0].path, service.url);
    assert.equal(`${asked[0].method} ${url.pathname}`, 'GET /sts/exchange');
    assert.deepEqual([...url.searchParams], [['scope', 'acme/other'], ['scopes', 'acme/other'], ['identity', 'deploy']]);
    assert.equal(asked[0].headers.authorization, `Bearer ${oidc()}`);
    const idToken = service.requests.find(({ path }) => path.startsWith('/idtoken'));
    assert.equal(idToken.path, `/idtoken?api-version=2.0&audience=${encodeURIComponent(service.host)}`);
    assert.equal(idToken.headers.authorization, 'Bearer runtime-token');
  });

  test('the answer of the Go service, which has the token alone, is enough', async () => {
    const { step } = await job({ routes: { 'GET /sts/exchange': { json: { token: TOKEN } } } });
    const { outputs } = await step.main();
    assert.deepEqual(outputs, { token: TOKEN, 'expires-at': '', permissions: '{}', 'base-url': 'https://api.github.com' });
  });

  test('the end of the job revokes the token through the service, once', async () => {
    const { step, asked } = await job();
    await step.main();
    const { code, log } = await step.post();
    assert.equal(code, 0);
    assert.match(log, /the token is revoked/);
    assert.deepEqual(asked.slice(1).map(({ method, path, headers }) => [method, path, headers.authorization]), [['POST', '/sts/revoke', `Bearer ${TOKEN}`]]);
  });

  test('the end of a job that got no token does nothing', async () => {
    const { step, asked } = await job({ routes: { 'GET /sts/exchange': { status: 403, json: { error: 'permission_denied', message: 'no' } } } });
    assert.equal((await step.main()).code, 1);
    const { code, log } = await step.post();
    assert.equal(code, 0);
    assert.match(log, /there is no token to revoke/);
    assert.equal(asked.length, 1);
  });
});

describe('what is new', () => {
  test('the scope is the repository of the workflow where nothing is said', async () => {
    const { step, asked } = await job();
    await step.main();
    assert.match(asked[0].path, /scope=acme%2Fapp&/);
  });

  test('all outputs', async () => {
    const { step } = await job();
    const { outputs } = await step.main();
    assert.deepEqual(outputs, { token: TOKEN, 'expires-at': GRANT.expires_at, permissions: '{"contents":"read"}', 'base-url': 'https://api.github.com' });
  });

  test('an audience of its own', async () => {
    const { step, service } = await job({ inputs: { audience: 'https://acme.example/a b&c' } });
    await step.main();
    const { searchParams } = new URL(service.requests[0].path, service.url);
    assert.equal(searchParams.get('audience'), 'https://acme.example/a b&c');
  });

  test('permissions and repositories narrow, as a JSON body', async () => {
    const { step, asked } = await job({
      inputs: { scope: 'acme', permissions: 'contents: read\nissues:write, ', repositories: 'app\n docs' },
      routes: { 'POST /sts/exchange': { json: { ...GRANT, permissions: { contents: 'read', issues: 'read', metadata: 'read' }, repositories: ['App'] } } },
    });
    const { code, log } = await step.main();
    assert.equal(code, 0, log);
    assert.equal(asked[0].path, '/sts/exchange');
    assert.equal(asked[0].headers['content-type'], 'application/json');
    assert.deepEqual(JSON.parse(asked[0].body), { scope: 'acme', identity: 'deploy', permissions: { contents: 'read', issues: 'write' }, repositories: ['app', 'docs'] });
  });

  for (const [what, inputs, wider] of [
    ['a permission that was not asked for', { permissions: 'issues:read' }, /contents: read/],
    ['a higher level', { permissions: 'contents:read' }, /contents: write/],
    ['a level that nobody knows', { permissions: 'contents:write' }, /contents: all/],
    ['no word about permissions', { permissions: 'contents:read' }, /everything/],
    ['another repository', { repositories: 'docs' }, /app/],
    ['every repository', { repositories: 'docs' }, /every repository/],
  ]) {
    test(`a service that gives ${what} gets its token back`, async () => {
      const answer = {
        'a higher level': { ...GRANT, permissions: { contents: 'write' } },
        'a level that nobody knows': { ...GRANT, permissions: { contents: 'all' } },
        'no word about permissions': { token: TOKEN },
        'every repository': { ...GRANT, repositories: undefined },
      }[what] ?? GRANT;
      const { step, asked } = await job({ inputs, routes: { 'POST /sts/exchange': { json: answer } } });
      const { code, outputs, log } = await step.main();
      assert.equal(code, 1);
      assert.deepEqual(outputs, {});
      assert.match(log, wider);
      assert.deepEqual(asked.map(({ path }) => path), ['/sts/exchange', '/sts/revoke']);
      assert.match((await step.post()).log, /there is no token to revoke/);
    });
  }

  test('upstream gives a session for the proxy, and its address', async () => {
    const session = 'eyJh.eyJi.c2ln';
    const { step, asked, service } = await job({
      inputs: { identity: '', upstream: 'models' },
      routes: { 'POST /sts/token': { json: { access_token: session, expires_in: 3600, token_type: 'Bearer' } } },
    });
    const { code, outputs, log } = await step.main();
    assert.equal(code, 0, log);
    assert.equal(asked[0].headers['content-type'], 'application/x-www-form-urlencoded;charset=UTF-8');
    assert.equal(asked[0].headers.authorization, undefined);
    assert.deepEqual(Object.fromEntries(new URLSearchParams(asked[0].body)), {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: oidc(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: `https://${service.host}/proxy/models`,
    });
    assert.equal(outputs.token, session);
    assert.equal(outputs['base-url'], `${service.url}/proxy/models`);
    assert.equal(outputs.permissions, undefined);
    assert.ok(Math.abs(Date.parse(outputs['expires-at']) - Date.now() - 3600_000) < 60_000);
    await step.post();
    assert.equal(asked[1].headers.authorization, `Bearer ${session}`);
  });

  test('a session of the proxy is never shown to GitHub', async () => {
    const github = await standIn(() => ({ status: 204 }));
    const { step } = await job({
      inputs: { identity: '', upstream: 'models', 'github-url': github.url },
      routes: { 'POST /sts/token': { json: { access_token: 'eyJh.eyJi.c2ln' } }, 'POST /sts/revoke': { status: 503 } },
    });
    await step.main();
    const { code, log } = await step.post();
    assert.equal(code, 0);
    assert.match(log, /::warning title=octo-sts::the token was not revoked and expires on its own: the service answered with 503/);
    assert.deepEqual(github.requests, []);
  });

  test('where the service cannot revoke, GitHub is asked, whichever it is', async () => {
    const github = await standIn(() => ({ status: 204 }));
    const { step } = await job({ inputs: { 'github-url': github.url }, routes: { 'POST /sts/revoke': { status: 404, json: {} } } });
    assert.equal((await step.main()).outputs['base-url'], `${github.url}/api/v3`);
    const { log } = await step.post();
    assert.match(log, /revoked by GitHub itself: the service answered with 404/);
    assert.deepEqual(github.requests.map(({ method, path, headers }) => [method, path, headers.authorization]), [['DELETE', '/api/v3/installation/token', `Bearer ${TOKEN}`]]);
  });

  for (const [url, api] of [['https://github.com', 'https://api.github.com'], ['https://octocorp.ghe.com/', 'https://api.octocorp.ghe.com'], ['https://github.acme.example', 'https://github.acme.example/api/v3']]) {
    test(`base-url of ${url}`, async () => {
      const { step } = await job({ inputs: { 'github-url': url } });
      assert.equal((await step.main()).outputs['base-url'], api);
    });
  }
});

describe('secrets', () => {
  test('tokens are masked before anything shows them, and shown nowhere', async () => {
    const { step } = await job({ inputs: { 'configure-git': 'true' } });
    const { log, summary } = await step.main();
    const post = await step.post();
    for (const secret of [TOKEN, oidc()]) {
      assert.equal(log.split('\n').filter((line) => line === `::add-mask::${secret}`).length, 1, log);
      assert.deepEqual(shown(log + summary + post.log + post.summary, secret), []);
    }
  });

  for (const token of ['ghs_a\n::set-output name=x::y', 'ghs_a b', '', 'ghs_é', 17, null]) {
    test(`what is no token is not handed out: ${JSON.stringify(token)}`, async () => {
      const { step } = await job({ routes: { 'GET /sts/exchange': { json: { token } } } });
      const { code, outputs, log } = await step.main();
      assert.equal(code, 1);
      assert.deepEqual(outputs, {});
      assert.ok(!log.includes('\n::set-output'));
    });
  }

  test('nothing that the service says is a command to the runner', async () => {
    const message = 'no\r\n::add-path::/tmp/evil\n##[add-path]/tmp/evil %0A::warning::x';
    const { step } = await job({ routes: { 'GET /sts/exchange': { status: 403, json: { error: 'permission_denied', message } } }, claims: { ...CLAIMS, 'x\n::add-path::/tmp/evil': '##[add-path]/tmp/evil' } });
    const { log } = await step.main();
    assert.ok(!/^\s*::add-path/m.test(log), log);
    // A command in the older form works anywhere except inside a command of the newer form, where it is text.
    assert.ok(!log.split('\n').some((line) => !line.startsWith('::error') && line.includes('##[')), log);
  });

  test('a credential does not follow a redirect', async () => {
    const elsewhere = await standIn(() => ({ json: GRANT }));
    const { step } = await job({ routes: { 'GET /sts/exchange': { status: 307, headers: { location: `${elsewhere.url}/sts/exchange` } } } });
    const { code, log } = await step.main();
    assert.equal(code, 1);
    assert.match(log, /redirects, which the service never does/);
    assert.deepEqual(elsewhere.requests, []);
  });
});

describe('inputs that make no sense are named, and nothing is sent', () => {
  for (const [inputs, message] of [
    [{ domain: '' }, /`domain` is missing/],
    [{ domain: 'https://sts.example.com' }, /`domain`: `https:\/\/sts\.example\.com` is not a bare host/],
    [{ domain: 'sts.example.com/x' }, /not a bare host/],
    [{ domain: 'sts.example.com@evil.example' }, /not a bare host/],
    [{ domain: 'sts.example.com#' }, /not a bare host/],
    [{ domain: 'evil.localhost:80/' }, /not a bare host/],
    [{ identity: '' }, /`identity` is missing/],
    [{ permissions: 'contents' }, /`permissions`: `contents` is not a permission/],
    [{ permissions: 'contents:read,contents:write' }, /`contents` is there twice/],
    [{ permissions: ' , ' }, /lists nothing/],
    [{ repositories: ',' }, /lists nothing/],
    [{ upstream: 'models' }, /`upstream` and `identity` cannot be used together/],
    [{ upstream: '../x', identity: '' }, /not the name of an upstream/],
    [{ upstream: 'models', identity: '', 'configure-git': 'true' }, /`upstream` and `configure-git`/],
    [{ 'configure-git': 'yes' }, /`configure-git`: `yes` is neither/],
    [{ 'github-url': 'github.com' }, /`github-url`: `github.com` is not a URL/],
    [{ 'github-url': 'http://github.com' }, /is not the address of a GitHub/],
    [{ 'github-url': 'https://github.acme.example/api/v3' }, /without a path/],
  ]) {
    test(JSON.stringify(inputs), async () => {
      const { step, service } = await job({ inputs });
      const { code, log, outputs } = await step.main();
      assert.equal(code, 1);
      assert.match(log, message);
      assert.ok(log.startsWith('::error title=octo-sts::'), log);
      assert.deepEqual(outputs, {});
      assert.deepEqual(service.requests, []);
      assert.equal((await step.post()).code, 0);
    });
  }

  test('a job without id-token: write is told so', async () => {
    const step = new Step({ inputs: { domain: 'sts.example.com', identity: 'deploy' } });
    const { code, log } = await step.main();
    assert.equal(code, 1);
    assert.match(log, /permissions: id-token: write/);
  });
});

describe('repeats', () => {
  const busy = (status, headers) => ({ status, headers, json: { error: 'x', message: 'later' } });

  for (const status of [429, 500, 502, 503]) {
    test(`${status} with Retry-After is tried again, with a new token of the job`, async () => {
      const { step, asked, service } = await job({ routes: { 'GET /sts/exchange': (_, count) => (count < 3 ? busy(status, { 'retry-after': '0' }) : { json: GRANT }) } });
      const { code, log } = await step.main();
      assert.equal(code, 0, log);
      assert.equal(asked.length, 3);
      assert.equal(service.requests.length, 6);
    });
  }

  test('three times and no more', async () => {
    const { step, asked } = await job({ routes: { 'GET /sts/exchange': busy(503, { 'retry-after': '0' }) } });
    assert.equal((await step.main()).code, 1);
    assert.equal(asked.length, 4);
  });

  test('it waits as long as it is told', async () => {
    const { step } = await job({ routes: { 'GET /sts/exchange': (_, count) => (count < 2 ? busy(429, { 'retry-after': '1' }) : { json: GRANT }) } });
    const before = Date.now();
    assert.equal((await step.main()).code, 0);
    assert.ok(Date.now() - before >= 1000);
  });

  test('a date that is past says now', async () => {
    const date = new Date(Date.now() - 5000).toUTCString();
    const { step, asked } = await job({ routes: { 'GET /sts/exchange': (_, count) => (count < 2 ? busy(503, { 'retry-after': date }) : { json: GRANT }) } });
    assert.equal((await step.main()).code, 0);
    assert.equal(asked.length, 2);
  });

  for (const [what, answer] of [
    ['a 503 without Retry-After', busy(503)],
    ['a Retry-After that is no time', busy(503, { 'retry-after': 'soon' })],
    ['a wait of an hour', busy(429, { 'retry-after': '3600' })],
    ['a 403 with Retry-After', busy(403, { 'retry-after': '0' })],
    ['a 401', busy(401)],
    ['a connection that breaks', { reset: true }],
  ]) {
    test(`${what} is not tried again`, async () => {
      const { step, asked } = await job({ routes: { 'GET /sts/exchange': answer } });
      assert.equal((await step.main()).code, 1);
      assert.equal(asked.length, 1);
    });
  }
});

describe('a refusal', () => {
  const denied = { error: 'permission_denied', code: 7, message: 'the token\'s subject `repo:acme/app:ref:refs/heads/dev` does not satisfy the policy', request_id: 'r-9' };
  const refused = (json, status = 403) => ({ routes: { 'GET /sts/exchange': { status, json } } });

  test('has a page with the reason, the claims that mattered and the command that explains it', async () => {
    const { step, service } = await job(refused(denied));
    const { code, log, summary } = await step.main();
    assert.equal(code, 1);
    assert.ok(log.includes(`::error title=octo-sts::${denied.message}\n`), log);
    assert.match(summary, /^### ❌ No token\n/);
    assert.ok(summary.includes('> the token\'s subject <code>repo:acme/app:ref:refs/heads/dev</code> does not satisfy the policy'), summary);
    assert.ok(summary.includes('| <code>sub</code> | <code>repo:acme/app:ref:refs/heads/dev</code> | ❌ refused |'), summary);
    assert.ok(summary.indexOf('<code>sub</code>') < summary.indexOf('<code>iss</code>'), 'what was refused comes first');
    assert.ok(!summary.split('```')[0].includes('https://'), 'no address becomes a link');
    assert.ok(summary.includes(`sts explain .github/chainguard/deploy.sts.yaml --domain ${service.host} --claims - <<'CLAIMS'\n{`), summary);
    assert.ok(summary.includes('request <code>r-9</code>'));
  });

  test('the command of the page runs as it stands there', async () => {
    const { step } = await job({ ...refused(denied), claims: { ...CLAIMS, note: '$(touch evil) `touch evil`\nCLAIMS\n```' } });
    const { summary } = await step.main();
    const [, , block] = /\n(`{3,})sh\n([^]*?)\n\1\n/.exec(summary);
    const script = `sts() { printf '%s\\n' "$*"; cat; }\n${block}`;
    const out = execFileSync('bash', ['-c', script], { cwd: step.folder, encoding: 'utf8' });
    const [command, ...claims] = out.split('\n');
    assert.match(command, /^explain \.github\/chainguard\/deploy\.sts\.yaml --domain localhost:\d+ --claims -$/);
    assert.equal(JSON.parse(claims.join('\n')).note, '$(touch evil) `touch evil`\nCLAIMS\n```');
    assert.ok(!existsSync(join(step.folder, 'evil')));
  });

  test('a claim that the token does not have is said to be absent', async () => {
    const { step } = await job(refused({ ...denied, message: 'the token\'s claim `environment` is not there, which does not satisfy the policy' }));
    assert.ok((await step.main()).summary.includes('| <code>environment</code> | <em>not in the token</em> | ❌ refused |'));
  });

  test('a value cannot break out of the page', async () => {
    const sub = 'repo:a/b|c`</code><img src=x>**[x](javascript:1)';
    const { step } = await job({ ...refused({ ...denied, message: `the token's subject \`${sub.replace('`', '')}\` does not satisfy the policy` }), claims: { ...CLAIMS, sub } });
    const page = (await step.main()).summary.split('To see every rule')[0];
    assert.ok(!page.includes('<img') && !page.includes('[x]') && !page.includes('b|c'), page);
  });

  test('of an organization names its policy repository', async () => {
    const { step } = await job({ ...refused({ error: 'policy_not_found', message: 'no valid policy' }, 404), inputs: { scope: 'acme' } });
    const { log, summary } = await step.main();
    assert.match(log, /looked for `\.github\/chainguard\/deploy\.sts\.yaml` on the default branch of `acme\/\.github`/);
    assert.match(summary, /deploy\.sts\.yaml --org --domain/);
  });

  test('by a limit says nothing of claims', async () => {
    const { step } = await job(refused({ error: 'rate_limited', message: 'github\'s rate limit is exhausted' }, 429));
    const { summary } = await step.main();
    assert.match(summary, /rate limit is exhausted/);
    assert.ok(!summary.includes('sts explain') && !summary.includes('refs/heads/dev'), summary);
  });

  for (const [what, answer] of [['a page of somebody else', { status: 404, text: '<html>' }], ['an empty 200', { text: '' }], ['a list', { status: 403, json: [] }]]) {
    test(`${what} asks whether the domain is right`, async () => {
      const { step } = await job({ routes: { 'GET /sts/exchange': answer } });
      const { code, log } = await step.main();
      assert.equal(code, 1);
      assert.match(log, /is this the domain of the service/);
    });
  }

  test('a service that is not there is said to be so', async () => {
    const gone = await StandIn.start(() => ({}));
    await gone.stop();
    const { step } = await job({ inputs: { domain: '127.0.0.1:1' } });
    const { code, log } = await step.main();
    assert.equal(code, 1);
    assert.match(log, /the service at `127\.0\.0\.1:1` cannot be reached/);
  });

  test('of the job\'s token service', async () => {
    const service = await standIn(() => ({ status: 403, json: { message: 'no' } }));
    const { code, log } = await new Step({ tokens: service.url, inputs: { domain: service.host, identity: 'x' } }).main();
    assert.equal(code, 1);
    assert.match(log, /gave no OIDC token: it answered with 403/);
  });
});

describe('configure-git', () => {
  const git = (step, args, input) => execFileSync('git', args, { env: { ...step.env, GIT_TERMINAL_PROMPT: '0', GIT_ASKPASS: 'true' }, input, encoding: 'utf8', cwd: step.folder });

  /** What git would send for an address. */
  function password(step, path) {
    try {
      return /^password=(.+)$/m.exec(git(step, ['credential', 'fill'], `url=https://github.com/${path}\n\n`))?.[1];
    } catch {
      return undefined;
    }
  }

  test('git has the token for the repository, with and without .git, and for no other', async () => {
    const { step } = await job({ inputs: { 'configure-git': 'true' } });
    const { code, log, state } = await step.main();
    assert.equal(code, 0, log);
    for (const path of ['acme/app', 'acme/app.git']) assert.equal(password(step, path), TOKEN, path);
    for (const path of ['acme/other', 'acme', 'acme/app-secrets.git', 'other/app']) assert.equal(password(step, path), undefined, path);
    for (const name of readdirSync(state.git)) assert.equal(statSync(join(state.git, name)).mode & 0o077, 0, name);
    assert.equal(statSync(state.git).mode & 0o077, 0);
  });

  test('for an organization: the repositories of the answer, or all of it', async () => {
    const some = await job({ inputs: { scope: 'acme', 'configure-git': 'true' } });
    await some.step.main();
    assert.equal(password(some.step, 'acme/app.git'), TOKEN);
    assert.equal(password(some.step, 'acme/docs.git'), undefined);
    const all = await job({ inputs: { scope: 'acme', 'configure-git': 'true' }, routes: { 'GET /sts/exchange': { json: { ...GRANT, repositories: undefined } } } });
    await all.step.main();
    assert.equal(password(all.step, 'acme/docs.git'), TOKEN);
    assert.equal(password(all.step, 'acme-evil/docs.git'), undefined);
  });

  test('the end of the job takes everything back, and what was there before stays', async () => {
    const { step } = await job({ inputs: { 'configure-git': 'true' } });
    git(step, ['config', '--global', 'user.name', 'mona']);
    git(step, ['config', '--global', '--add', 'include.path', '/elsewhere/gitconfig']);
    const before = git(step, ['config', '--global', '--list']);
    const { state } = await step.main();
    await step.post();
    assert.equal(git(step, ['config', '--global', '--list']), before);
    assert.ok(!existsSync(state.git));
    assert.equal(password(step, 'acme/app'), undefined);
  });

  test('git sends the token over what actions/checkout left, to the repository alone', async () => {
    const seen = [];
    const github = await standIn(({ path, headers }) => {
      seen.push([path.split('/info/')[0], headers.authorization]);
      return headers.authorization ? { status: 403, text: 'enough' } : { status: 401, headers: { 'www-authenticate': 'Basic realm="GitHub"' }, text: '' };
    });
    const { step } = await job({ inputs: { 'configure-git': 'true', 'github-url': github.url } });
    assert.equal((await step.main()).code, 0);
    git(step, ['init', '-q', '.']);
    git(step, ['config', '--local', `http.${github.url}/.extraheader`, 'AUTHORIZATION: basic b2xk']);
    const basic = (token) => `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
    for (const path of ['acme/app.git', 'acme/other.git']) {
      // Not the blocking form: the stand-in answers in this process.
      const env = { ...step.env, GIT_TERMINAL_PROMPT: '0' };
      await assert.rejects(promisify(execFile)('git', ['ls-remote', `${github.url}/${path}`], { env, cwd: step.folder, timeout: 20_000 }));
    }
    assert.deepEqual(seen, [['/acme/app.git', undefined], ['/acme/app.git', basic(TOKEN)], ['/acme/other.git', 'basic b2xk']]);
  });

  test('a folder with every awkward character', async () => {
    const { step } = await job({ inputs: { 'configure-git': 'true' } });
    step.env.RUNNER_TEMP = join(step.folder, `a 'b" $(touch evil) c`);
    mkdirSync(step.env.RUNNER_TEMP);
    assert.equal((await step.main()).code, 0);
    assert.equal(password(step, 'acme/app'), TOKEN);
    await step.post();
    assert.equal(password(step, 'acme/app'), undefined);
    assert.ok(!existsSync(join(step.folder, 'evil')));
  });
});

test('what action.yml promises is what the sources read and write', () => {
  const root = new URL('../../', import.meta.url);
  const manifest = readFileSync(new URL('action.yml', root), 'utf8');
  const [inputs, outputs] = manifest.split('\ninputs:')[1].split('\nruns:')[0].split('\noutputs:');
  const names = (text) => [...text.matchAll(/^  ([a-z-]+):$/gm)].map(([, name]) => name).sort();
  const bundle = readFileSync(new URL('action/dist/index.mjs', root), 'utf8');
  const mentioned = (pattern) => [...new Set([...bundle.matchAll(pattern)].map(([, name]) => name))].sort();
  assert.deepEqual(names(outputs), mentioned(/runner2?\.output\("([a-z-]+)"/g));
  for (const name of names(inputs)) assert.ok(bundle.includes(`"${name}"`), name);
  assert.match(manifest, /^  using: node24$/m);
});
