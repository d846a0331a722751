// A small world for one test file: the Worker, GitHub, two issuers, and an organization with policies. `stop()` is part
// of every test: it fails if a secret appears where it must not, if GitHub would have refused a request, or if the
// Worker called an unknown host.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { sign } from '@octokit/webhooks-methods';

import { APP_ID, GitHub } from './github.mjs';
import { Internet, readBody } from './internet.mjs';
import { actionsClaims, MockIssuer } from './issuers.mjs';
import { DOMAIN, Worker } from './worker.mjs';

export const ACTIONS = 'https://token.actions.githubusercontent.com';
export const GITHUB_API = 'api.github.com';

/** What the App is installed on. `hidden` is a repository that it does not see. */
const INSTALLATIONS = [
  { account: 'acme', id: 1001, kind: 'Organization', repositories: ['app', 'docs', '.github'] },
  {
    account: 'partial',
    id: 1002,
    kind: 'Organization',
    repositories: ['seen', 'hidden', '.github'],
    selected: ['seen'],
  },
  { account: 'mona', id: 1003, kind: 'User', repositories: ['dotfiles'] },
];

export const policyPath = (identity) => `.github/chainguard/${identity}.sts.yaml`;

/** A policy for jobs of `acme/app` on its main branch. */
export const DEPLOY_POLICY = `issuer: ${ACTIONS}
subject: repo:acme/app:ref:refs/heads/main
permissions:
  contents: read
  issues: write
`;

export class World {
  /** Texts that must not appear in any log line, KV entry or request, except the one they are for. */
  #canaries = new Set();

  webhookSecret = randomBytes(20).toString('hex');

  /** What the Worker answered to GitHub's own deliveries: `{event, signature, status, body}`. */
  delivered = [];

  /** With `withDeliveries`, GitHub delivers every push by itself, and `delivered` has the results. */
  static async start({ vars = {}, algorithms, withDeliveries = false, ...platform } = {}) {
    const world = new World();
    try {
      world.internet = await Internet.open();
      const { address } = world.internet;
      world.internet.host(address, world.#relay);
      const webhook = withDeliveries ? { url: `http://${address}/webhook`, secret: world.webhookSecret } : undefined;
      world.github = await GitHub.start(INSTALLATIONS, webhook);
      world.actions = await MockIssuer.start(ACTIONS, { algorithms });
      world.internet.host(GITHUB_API, world.github.answerer);
      world.internet.host(new URL(ACTIONS).host, world.actions.answerer);
      world.worker = await Worker.start({
        internet: world.internet,
        ...platform,
        vars: {
          DOMAIN,
          GITHUB_APP_ID: String(APP_ID),
          GITHUB_APP_PRIVATE_KEY: world.github.privateKey,
          GITHUB_WEBHOOK_SECRET: world.webhookSecret,
          ...vars,
        },
      });
    } catch (error) {
      await world.#close();
      throw error;
    }
    for (const line of world.github.privateKey.split('\n').slice(1, -2)) world.canary(line);
    world.canary(world.webhookSecret);
    return world;
  }

  /** From here on, the text must not appear. */
  canary(text) {
    this.#canaries.add(text);
  }

  /** A token of a job of GitHub Actions; see `actionsClaims`. */
  jobToken(claims, options) {
    return this.actions.token(actionsClaims(claims), options);
  }

  /** An exchange as `POST` with a query; resolves to `{status, headers, body}`. */
  async exchange({ scope = 'acme/app', identity = 'deploy', token, method = 'POST' } = {}) {
    const credential = token ?? (await this.jobToken());
    return answerOf(
      await this.worker.request(`/sts/exchange?${new URLSearchParams({ scope, identity })}`, {
        method,
        headers: { authorization: `Bearer ${credential}` },
      }),
    );
  }

  /** An exchange that must succeed; resolves to the answer's body. */
  async exchanged(parameters) {
    const { status, body } = await this.exchange(parameters);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  async revoke(token) {
    return answerOf(
      await this.worker.request('/sts/revoke', { method: 'POST', headers: { authorization: `Bearer ${token}` } }),
    );
  }

  /**
   * A delivery as GitHub sends it, signed by an implementation that is not ours. `payload` is an object, or the body as
   * it is; `headers` come last. Resolves to `{status, headers, body}`.
   */
  async deliver(event, payload, { id = randomUUID(), secret = this.webhookSecret, headers = {} } = {}) {
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
    return answerOf(
      await this.worker.request('/webhook', {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'GitHub-Hookshot/e2e',
          'x-github-delivery': id,
          'x-github-event': event,
          'x-hub-signature-256': await sign(secret, body),
          ...headers,
        },
        body,
      }),
    );
  }

  /** What every delivery about a repository says. */
  async about(repository = 'acme/app') {
    return {
      repository: await this.github.repository(repository),
      installation: { id: 1001 },
      sender: { login: 'octocat', type: 'User' },
    };
  }

  /** Commits files (see `GitHub.push`) and resolves to the payload of the push. */
  async push(files, { repository = 'acme/app', branch } = {}) {
    return { ...(await this.github.push(repository, files, branch)), ...(await this.about(repository)) };
  }

  /** Passes on GitHub's own deliveries, byte for byte. */
  #relay = async (incoming, outgoing, record) => {
    record.body = await readBody(incoming);
    const { host, connection, 'content-length': length, ...headers } = incoming.headers;
    const answer = await answerOf(await this.worker.request(incoming.url, { method: 'POST', headers, body: record.body }));
    const [event, signature] = [headers['x-github-event'], headers['x-hub-signature-256']];
    this.delivered.push({ event, signature, status: answer.status, body: answer.body });
    outgoing.writeHead(answer.status).end();
  };

  /** A call to GitHub with an installation token, as a workflow would make it. */
  callGitHub(token, method, path, body) {
    return this.internet.ask(GITHUB_API, {
      method,
      path,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/vnd.github+json',
        'x-github-api-version': '2022-11-28',
        'user-agent': 'a workflow',
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      body: body && JSON.stringify(body),
    });
  }

  /** The Worker's requests before an answer: everything except the clean-up after it. */
  asked() {
    return this.internet.requests
      .filter(({ method, path }) => !(method === 'DELETE' && path === '/installation/token'))
      .map(({ host, method, path }) => `${method} ${host}${path}`);
  }

  /** Waits until the work after the answers is done: the log, KV and the network have been quiet for a moment. */
  async settled() {
    const pulse = () => `${this.internet.requests.length} ${this.worker.logs.length} ${this.internet.requests.at(-1)?.status}`;
    for (let last; last !== pulse(); ) {
      last = pulse();
      await sleep(60);
    }
  }

  /** Resets what repositories have spent in this hour, in KV and in memory. */
  async newHour() {
    const kv = await this.worker.kv();
    for (const key of (await this.worker.store()).keys()) if (key.startsWith('v1-sha256/')) await kv.delete(key);
    await this.worker.newIsolate();
  }

  /** Waits for a condition. */
  async until(condition, what) {
    for (let waited = 0; waited < 5000; waited += 20) {
      if (await condition()) return;
      await sleep(20);
    }
    assert.fail(`waited in vain: ${what}`);
  }

  async stop() {
    try {
      await this.settled();
      await this.#assertNothingLeaked();
      for (const { message } of this.worker.logs) assert.equal(typeof JSON.parse(message), 'object', message);
      assert.deepEqual(this.github.violations, [], 'requests that GitHub would not have taken');
      assert.deepEqual(this.internet.strays.map(({ host, path }) => host + path), [], 'requests to strangers');
    } finally {
      await this.#close();
    }
  }

  async #close() {
    await Promise.all([this.worker?.stop(), this.internet?.close(), this.github?.close()]);
  }

  async #assertNothingLeaked() {
    const oidcTokens = this.actions.issued;
    const secrets = [...this.#canaries, ...this.github.minted, ...oidcTokens];
    const signatures = oidcTokens.map((token) => token.split('.')[2]).filter(Boolean);
    const texts = [
      ...this.worker.logs.map(({ message }) => ['a log line', message]),
      ...[...(await this.worker.store())].flatMap(([key, value]) => [['a KV key', key], ['a KV value', value]]),
    ];
    for (const [where, text] of texts) {
      for (const secret of [...secrets, ...signatures]) {
        assert.ok(!text.includes(secret), `a secret is in ${where}: ${text.slice(0, 200)}`);
      }
    }
    for (const { host, path, headers, body } of this.internet.requests) {
      const sent = `${path} ${JSON.stringify(headers)} ${body}`;
      for (const token of oidcTokens) assert.ok(!sent.includes(token), `an OIDC token went to ${host}`);
      if (host !== GITHUB_API) assert.equal(headers.authorization, undefined, `a credential went to ${host}`);
    }
  }
}

export async function answerOf(response) {
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : undefined };
}
