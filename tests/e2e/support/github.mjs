// GitHub: the emulator from npm behind a proxy of our own. The emulator keeps the state (repositories, installations,
// tokens and what they may do); the proxy checks every request and adds what the emulator lacks:
//
// * every request of the Worker must be in GitHub's own description of its REST API;
// * an App JWT must have the claims that GitHub asks for, and nothing but an App JWT opens the App's endpoints;
// * `DELETE /installation/token`, and 401 for tokens that are revoked or were never minted;
// * names of owners and repositories without regard to case;
// * the files of pull requests, and annotations of check runs: all of them, with their columns and titles;
// * `metadata: read` in every minted token, and suspended installations.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';

import { createEmulator } from 'emulate';

import { readBody } from './internet.mjs';
import { RestDescription } from './rest-description.mjs';

export const APP_ID = 4711;
const COMMITTER = 'octo-admin';

/** The token of a user of the emulator. It never passes the proxy. */
const tokenOf = (login) => `token of ${login}`;

/** What the App of the tests was given, on every installation. */
const APP_PERMISSIONS = { checks: 'write', contents: 'write', issues: 'write', metadata: 'read', pull_requests: 'read' };

export class GitHub {
  /** Sentences about requests that GitHub would have refused; a test run with one fails. */
  violations = [];
  /** Every minted token, revoked or not. */
  minted = [];

  #annotations = new Map();
  #pullRequests = new Map();
  #emulator;
  #description = new RestDescription();
  /** The App's keys, by their private halves. */
  #publicKeys = new Map();
  #alive = new Set();
  #suspended = new Map();
  #canonical = new Map();
  #users;

  /**
   * `installations` is `{account, id, kind, repositories, selected?}` each: with `selected` the App sees only those.
   * All repositories are private, so that only a permission opens them. `webhook` is `{url, secret}`: with it the emulator
   * sends signed deliveries by itself.
   */
  static async start(installations, webhook) {
    const github = new GitHub();
    /** PKCS#1, GitHub's format. */
    github.privateKey = github.generatePrivateKey();
    github.privateKeyPkcs8 = createPrivateKey(github.privateKey).export({ type: 'pkcs8', format: 'pem' });
    const organizations = installations.filter(({ kind }) => kind !== 'User');
    const users = installations.filter(({ kind }) => kind === 'User');
    const seed = {
      // The emulator treats an unknown token as the first user's, who owns nothing.
      users: [{ login: 'nobody' }, { login: COMMITTER, site_admin: true }, ...users.map(({ account }) => ({ login: account }))],
      orgs: organizations.map(({ account }) => ({ login: account, members: [{ login: COMMITTER, role: 'admin' }] })),
      repos: installations.flatMap(({ account, repositories }) =>
        repositories.map((name) => ({ owner: account, name, private: true })),
      ),
      apps: [
        {
          app_id: APP_ID,
          slug: 'octo-sts',
          name: 'octo-sts',
          private_key: github.privateKey,
          permissions: APP_PERMISSIONS,
          ...(webhook ? { webhook_url: webhook.url, webhook_secret: webhook.secret, events: ['*'] } : {}),
          installations: installations.map(({ account, id, selected }) => ({
            account,
            installation_id: id,
            ...(selected ? { repository_selection: 'selected', repositories: selected } : {}),
          })),
        },
      ],
    };
    const tokens = [COMMITTER, ...users.map(({ account }) => account)].map((login) => [tokenOf(login), { login, scopes: ['repo'] }]);
    github.#users = new Set(users.map(({ account }) => account));
    github.#emulator = await createEmulator({
      service: 'github',
      port: 0,
      seed: { github: seed, tokens: Object.fromEntries(tokens) },
    });
    for (const { account, repositories } of installations) {
      for (const name of ['', ...repositories]) github.#canonical.set(`${account}/${name}`.toLowerCase(), [account, name]);
    }
    return github;
  }

  close() {
    return this.#emulator.close();
  }

  /** Another private key of the App, which is taken besides those that it has. */
  generatePrivateKey() {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ type: 'pkcs1', format: 'pem' });
    this.#publicKeys.set(pem, publicKey);
    return pem;
  }

  /** From now on nothing that the key signs is taken. */
  deletePrivateKey(pem) {
    this.#publicKeys.delete(pem);
  }

  /** Commits a file on the default branch, or replaces it. */
  async commit(repository, path, text) {
    const url = `/repos/${repository}/contents/${path}`;
    const previous = await this.#asCommitter('GET', url);
    const body = { message: `change ${path}`, content: Buffer.from(text).toString('base64'), sha: previous.json.sha };
    const { status, json } = await this.#asCommitter('PUT', url, body);
    if (status !== 200 && status !== 201) throw new Error(`committing ${path} to ${repository}: ${JSON.stringify(json)}`);
    return json.content.sha;
  }

  /** Deletes a file on the default branch. */
  async remove(repository, path) {
    const url = `/repos/${repository}/contents/${path}`;
    const { json } = await this.#asCommitter('GET', url);
    await this.#asCommitter('DELETE', url, { message: `delete ${path}`, sha: json.sha });
  }

  /** A branch with the content of the default branch. Resolves to its commit. */
  async branch(repository, name) {
    const sha = await this.#tip(repository);
    await this.#committed('POST', `/repos/${repository}/git/refs`, { ref: `refs/heads/${name}`, sha });
    return sha;
  }

  /** Moves the default branch to a branch that continues from it. Resolves to `{before, after}`. */
  async fastForward(repository, name) {
    const [before, after] = [await this.#tip(repository), await this.#tip(repository, name)];
    await this.#committed('PATCH', `/repos/${repository}/git/refs/heads/main`, { sha: after });
    return { before, after };
  }

  /**
   * Commits files, one after the other; `undefined` instead of a text deletes one. Resolves to what GitHub says of the
   * push in a delivery: `{ref, before, after, commits}`.
   */
  async push(repository, files, branch = 'main') {
    const before = await this.#tip(repository, branch);
    const commits = [];
    for (const [path, text] of Object.entries(files)) {
      const url = `/repos/${repository}/contents/${path}`;
      const { json: previous } = await this.#asCommitter('GET', `${url}?ref=${branch}`);
      const change = { message: `change ${path}`, branch, sha: previous.sha };
      const { commit } =
        text === undefined
          ? await this.#committed('DELETE', url, change)
          : await this.#committed('PUT', url, { ...change, content: Buffer.from(text).toString('base64') });
      const paths = { added: [], modified: [], removed: [] };
      paths[text === undefined ? 'removed' : previous.sha ? 'modified' : 'added'].push(path);
      commits.push({ id: commit.sha, message: change.message, ...paths });
    }
    return { ref: `refs/heads/${branch}`, before, after: commits.at(-1)?.id ?? before, commits };
  }

  /** Opens a pull request from a branch to the default branch. Resolves to its number. */
  async openPullRequest(repository, branch) {
    const { number } = await this.#committed('POST', `/repos/${repository}/pulls`, { title: branch, head: branch, base: 'main' });
    this.#pullRequests.set(`${repository}#${number}`, { base: await this.#tip(repository), branch });
    return number;
  }

  /** A pull request as deliveries show it. The emulator's own keeps the head that it was opened with. */
  async pullRequest(repository, number) {
    const { json } = await this.#asCommitter('GET', `/repos/${repository}/pulls/${number}`);
    const { base, branch } = this.#pullRequests.get(`${repository}#${number}`);
    const sha = await this.#tip(repository, branch);
    const files = await this.#pullRequestFiles(repository, number);
    return { ...json, head: { ...json.head, sha }, base: { ...json.base, sha: base }, changed_files: files.length };
  }

  /** From now on a pull request changes these files, as GitHub lists them: `[{filename, status}]`. */
  list(repository, number, files) {
    this.#pullRequests.get(`${repository}#${number}`).files = files;
  }

  /** The repository as deliveries show it. */
  async repository(repository) {
    return (await this.#asCommitter('GET', `/repos/${repository}`)).json;
  }

  /** All check runs of a commit, with the annotations that they have in the end. */
  async checkRuns(repository, sha) {
    const { json } = await this.#asCommitter('GET', `/repos/${repository}/commits/${sha}/check-runs?filter=all`);
    return json.check_runs.map((run) => ({ ...run, annotations: this.#annotations.get(run.id) ?? [] }));
  }

  async #tip(repository, branch = 'main') {
    const { json } = await this.#asCommitter('GET', `/repos/${repository}/git/ref/heads/${branch}`);
    return json.object.sha;
  }

  async #pullRequestFiles(repository, number) {
    const { base, branch, files } = this.#pullRequests.get(`${repository}#${number}`);
    if (files) return files;
    const { json } = await this.#asCommitter('GET', `/repos/${repository}/compare/${base}...${branch}`);
    return json.files;
  }

  /** What was minted, newest last: `{permissions, repositories, repository_selection, account}`. */
  async ledger() {
    const { json } = await this.#asCommitter('GET', '/_emulate/installation-tokens');
    return Promise.all(
      json.installation_tokens.map(async (entry) => ({
        account: entry.account.login,
        permissions: entry.permissions,
        repository_selection: entry.repository_selection,
        repositories: await Promise.all(
          entry.repository_ids.map(async (id) => (await this.#asCommitter('GET', `/repositories/${id}`)).json.name),
        ),
      })),
    );
  }

  /** From now on, GitHub says that the installation is suspended. */
  suspend(installationId) {
    this.#suspended.set(installationId, new Date().toISOString());
  }

  resume(installationId) {
    this.#suspended.delete(installationId);
  }

  isAlive(token) {
    return this.#alive.has(token);
  }

  /** Answers for the REST API; see `Internet.host`. */
  answerer = async (incoming, outgoing, record) => {
    record.body = await readBody(incoming);
    this.violations.push(...this.#description.violations(record), ...wrongHeaders(record));
    const { status, headers = {}, json } = await this.#answer(record);
    outgoing.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'x-github-request-id': 'E2E', ...headers });
    outgoing.end(json === undefined ? undefined : JSON.stringify(json));
  };

  async #answer({ method, path, headers, body }) {
    const credential = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    const forApps = path.startsWith('/app/') || /^\/(repos\/[^/]+\/[^/]+|orgs\/[^/]+|users\/[^/]+)\/installation$/.test(path);
    if (forApps) {
      const problem = this.#wrongAppJwt(credential);
      if (problem) {
        this.violations.push(`${method} ${path}: ${problem}`);
        return { status: 401, json: { message: `A JSON web token could not be decoded: ${problem}` } };
      }
    } else if (!this.#alive.has(credential)) {
      return { status: 401, json: { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest' } };
    }

    if (method === 'DELETE' && path === '/installation/token') {
      this.#alive.delete(credential);
      return { status: 204 };
    }
    const installation = /^\/app\/installations\/(\d+)\//.exec(path)?.[1];
    if (this.#suspended.has(Number(installation))) {
      return { status: 403, json: { message: 'This installation has been suspended' } };
    }
    // The emulator knows the first key alone.
    const known = forApps ? `Bearer ${this.#signedAgain(credential)}` : headers.authorization;
    const { status, json } = await this.#emulate(method, this.#withCanonicalNames(path), known, body);
    if (status === 201 && json.token) return { status, json: this.#mint(json) };
    const ofPullRequest = /^\/repos\/([^/]+\/[^/]+)\/pulls\/(\d+)\/files\?(.*)$/.exec(this.#withCanonicalNames(path));
    if (status === 200 && ofPullRequest) {
      const [, repository, number, query] = ofPullRequest;
      return { status, json: pageOf(await this.#pullRequestFiles(repository, number), new URLSearchParams(query)) };
    }
    if (/\/check-runs/.test(path) && status < 300) {
      if (method !== 'GET') this.#annotations.set(json.id, [...(this.#annotations.get(json.id) ?? []), ...JSON.parse(body).output.annotations]);
      for (const run of json.check_runs ?? [json]) run.app = { id: APP_ID };
    }
    if (json?.suspended_at === null) json.suspended_at = this.#suspended.get(json.id) ?? null;
    return { status, json };
  }

  #mint(answer) {
    this.minted.push(answer.token);
    this.#alive.add(answer.token);
    return { ...answer, permissions: { ...answer.permissions, metadata: 'read' } };
  }

  /** https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app */
  #wrongAppJwt(jwt) {
    const [header, payload, signature] = (jwt ?? '').split('.');
    if (!signature) return 'no JWT';
    const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
    const claims = decode(payload);
    const now = Math.floor(Date.now() / 1000);
    if (decode(header).alg !== 'RS256') return 'alg is not RS256';
    const signs = (key) => verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
    if (![...this.#publicKeys.values()].some(signs)) return 'the signature is wrong';
    if (String(claims.iss) !== String(APP_ID)) return `iss is ${claims.iss}`;
    if (!(claims.iat <= now)) return 'iat is in the future';
    if (!(claims.exp > now && claims.exp <= now + 600)) return 'exp is not within the next ten minutes';
    return undefined;
  }

  #signedAgain(jwt) {
    const [header, payload] = jwt.split('.');
    return `${header}.${payload}.${sign('sha256', Buffer.from(`${header}.${payload}`), this.privateKey).toString('base64url')}`;
  }

  #withCanonicalNames(path) {
    return path.replace(/^\/(repos|orgs|users)\/([^/?]+)(?:\/([^/?]+))?/, (whole, kind, owner, rest) => {
      const repository = kind === 'repos' ? rest : '';
      const [account, name] = this.#canonical.get(`${owner}/${repository ?? ''}`.toLowerCase()) ?? [owner, repository];
      return kind === 'repos' ? `/repos/${account}/${name}` : `/${kind}/${account}${rest ? `/${rest}` : ''}`;
    });
  }

  /** Users commit to their own repositories, the administrator to those of organizations. */
  #asCommitter(method, path, body) {
    const owner = /^\/repos\/([^/]+)\//.exec(path)?.[1];
    const token = tokenOf(this.#users.has(owner) ? owner : COMMITTER);
    return this.#emulate(method, path, `Bearer ${token}`, body && JSON.stringify(body));
  }

  /** The same, where it must work; resolves to the answer's body. */
  async #committed(method, path, body) {
    const { status, json } = await this.#asCommitter(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    return json;
  }

  async #emulate(method, path, authorization, body) {
    const response = await fetch(this.#emulator.url + path, {
      method,
      headers: { ...(authorization ? { authorization } : {}), ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body || undefined,
      redirect: 'manual',
    });
    const text = await response.text();
    return { status: response.status, json: text ? JSON.parse(text) : undefined };
  }
}

/** GitHub's pages: 30 entries by default, at most 100. */
function pageOf(entries, query) {
  const size = Math.min(Number(query.get('per_page') ?? 30), 100);
  const page = Number(query.get('page') ?? 1);
  return entries.slice((page - 1) * size, page * size);
}

/** What the Worker sends with every request to GitHub. */
function wrongHeaders({ method, path, headers }) {
  const problems = [];
  if (headers.accept !== 'application/vnd.github+json') problems.push(`accept is ${headers.accept}`);
  if (headers['x-github-api-version'] !== '2022-11-28') problems.push('no API version');
  if (!headers['user-agent']) problems.push('no user agent');
  return problems.map((problem) => `${method} ${path}: ${problem}`);
}

/** A blob's name in git, as the contents API calls it. */
export function blobSha(text) {
  return createHash('sha1').update(`blob ${Buffer.byteLength(text)}\0${text}`).digest('hex');
}

/** The public half of a PEM, for tests that look at an App JWT themselves. */
export const publicKeyOf = (pem) => createPublicKey(pem);
