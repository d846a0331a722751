// A small, strict GitHub: the requests of an exchange and a delivery, and nothing else. It mints only what the
// installation has, keeps a ledger of every token, and records each request that the real one would have refused.

import { randomBytes, verify } from 'node:crypto';

export const APP_ID = 4711;
const HOUR = 3_600_000;
const RANKS = { read: 1, write: 2, admin: 3 };

const answered = (kind, status, json, more = {}) => ({ kind, status, json, ...more });

export class GitHub {
  /** Sentences about requests that GitHub would have refused. A soak with one fails. */
  violations = [];
  /** The tokens that somebody may still ask about, by token: `{exchange, permissions, repositories, revoked, …}`. */
  ledger = new Map();

  #clock;
  #world;
  #publicKey;
  #jwts = new Map();
  #lastRun = 0;
  #runs = new Map();
  #texts = new Map();

  constructor(clock, world, publicKey) {
    this.#clock = clock;
    this.#world = world;
    this.#publicKey = publicKey;
  }

  /** What GitHub says to a request of an exchange; `kind` is what the request is about. */
  answer({ method, path, headers, body }, exchange) {
    for (const [name, value] of [['accept', 'application/vnd.github+json'], ['x-github-api-version', '2022-11-28']]) {
      if (headers[name] !== value) this.violations.push(`${method} ${path}: ${name} is ${headers[name]}`);
    }
    if (!headers['user-agent']) this.violations.push(`${method} ${path}: no user-agent`);
    const credential = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    // Names of owners and repositories are case-insensitive, paths of files are case-sensitive.
    const plain = path.replace(/^\/(?:repos\/[^/]+|orgs|users)\/[^/]+/, (names) => names.toLowerCase());
    const route = (wanted, pattern) => (method === wanted ? pattern.exec(plain) : null);

    const lookUp = route('GET', /^\/(repos|orgs|users)\/([^/]+)(?:\/([^/]+))?\/installation$/);
    const mint = route('POST', /^\/app\/installations\/(\d+)\/access_tokens$/);
    if (lookUp || mint) {
      const problem = this.#wrongAppJwt(credential, exchange.start);
      if (problem) {
        this.violations.push(`${method} ${path}: ${problem}`);
        return answered(lookUp ? 'lookup' : 'mint', 401, {});
      }
      return lookUp ? this.#lookUp(lookUp) : this.#mint(Number(mint[1]), body, exchange);
    }

    const token = this.ledger.get(credential);
    if (!token || token.revoked) {
      this.violations.push(`${method} ${path}: ${token ? 'the token is dead' : 'nobody minted the token'}`);
      return answered('unknown', 401, { message: 'Bad credentials' });
    }
    if (method === 'DELETE' && path === '/installation/token') return answered('revoke', 204, undefined, { token });
    const file = route('GET', /^\/repos\/([^/]+)\/([^/]+)\/contents\/([^?]+)(?:\?ref=([0-9a-f]{40}))?$/);
    if (file) return this.#file(token, ...file.slice(1));
    const repository = route('GET', /^\/repos\/([^/]+)\/([^/?]+)$/);
    if (repository) return this.#repository(token, ...repository.slice(1));
    const runs = route('GET', /^\/repos\/[^/]+\/[^/]+\/commits\/([0-9a-f]{40})\/check-runs\?/);
    if (runs) return answered('check', 200, { total_count: 0, check_runs: [...(this.#runs.get(runs[1])?.values() ?? [])] });
    if (method === 'POST' && /^\/repos\/[^/]+\/[^/]+\/check-runs$/.test(path)) return answered('check', 201, this.#run(body));
    const update = route('PATCH', /^\/repos\/[^/]+\/[^/]+\/check-runs\/(\d+)$/);
    if (update) return answered('check', 200, this.#run(body, Number(update[1])));
    this.violations.push(`${method} ${path}: the soak's GitHub does not know this`);
    return answered('unknown', 404, {});
  }

  #lookUp([, kind, login, repository]) {
    const owner = this.#world.ownerOf(login);
    const installation = owner?.installation.current;
    const isThere = {
      repos: () => owner.repositories.includes(repository) && (installation.selected ?? owner.repositories).includes(repository),
      orgs: () => owner.kind === 'Organization',
      users: () => owner.kind === 'User',
    }[kind];
    if (!owner || !isThere()) return answered('lookup', 404, { message: 'Not Found' }, { kindOfOwner: kind });
    const { id, permissions, suspended } = installation;
    const json = { id, account: { login: owner.login }, permissions, suspended_at: suspended ? new Date(this.#clock.now).toISOString() : null };
    return answered('lookup', 200, json, { kindOfOwner: kind, suspended });
  }

  #mint(id, body, exchange) {
    const { permissions, repositories: named, ...others } = JSON.parse(body);
    const repositories = named?.map((name) => name.toLowerCase());
    const isReader = JSON.stringify(permissions) === '{"contents":"read"}';
    const kind = 'checks' in permissions && exchange.isDelivery ? 'check' : isReader ? 'mint-read' : 'mint';
    const more = { repository: isReader ? repositories?.[0] : undefined };
    if (Object.keys(permissions ?? {}).length === 0 || repositories?.length === 0 || Object.keys(others).length > 0) {
      this.violations.push(`a token without bounds was asked for: ${body}`);
    }
    const owner = this.#world.owners.find(({ installation }) => installation.current.id === id);
    if (!owner) return answered(kind, 404, { message: 'Not Found' }, more);
    const installation = owner.installation.current;
    if (installation.suspended) return answered(kind, 403, { message: 'This installation has been suspended' }, more);
    const all = installation.selected ?? owner.repositories;
    const isGranted = ([name, level]) => RANKS[level] <= (RANKS[installation.permissions[name]] ?? 0);
    if (!Object.entries(permissions).every(isGranted) || !(repositories ?? []).every((name) => all.includes(name))) {
      return answered(kind, 422, { message: 'The permissions requested are not granted to this installation.' }, more);
    }
    const token = {
      text: `ghs_${randomBytes(this.ledger.size % 2 === 0 ? 18 : 180).toString('base64url')}`,
      exchange: exchange.id,
      owner: owner.login,
      permissions: { metadata: 'read', ...permissions },
      repositories,
      expires: Math.floor(this.#clock.now / 1000) * 1000 + HOUR,
      mayRead: permissions.contents !== undefined,
      revoked: false,
      attempts: [],
    };
    const json = {
      token: token.text,
      expires_at: new Date(token.expires).toISOString().replace('.000Z', 'Z'),
      permissions: token.permissions,
      repository_selection: repositories ? 'selected' : (installation.selected ? 'selected' : 'all'),
      ...(repositories ? { repositories: repositories.map((name) => ({ name, full_name: `${owner.login}/${name}` })) } : {}),
    };
    return answered(kind, 201, json, { ...more, token });
  }

  /** The repository itself, which every token for it sees, whatever else the token may do. */
  #repository(token, login, repository) {
    const owner = this.#world.ownerOf(login);
    const more = { login, repository };
    if (token.owner !== owner?.login || !owner.repositories.includes(repository) || !(token.repositories ?? [repository]).includes(repository)) {
      this.violations.push(`GET ${login}/${repository}: the token does not see it`);
      return answered('see', 404, { message: 'Not Found' }, more);
    }
    return answered('see', 200, { name: repository, full_name: `${owner.login}/${repository}`, private: true, owner: { login: owner.login } }, more);
  }

  #file(token, login, repository, path, commit) {
    const { history, policy, owner } = this.#world.fileAt(login, repository, path);
    const kind = commit ? 'check' : policy || !path.endsWith('trusted-token-issuers.yaml') ? 'file' : 'issuers-file';
    const more = { path, login, repository };
    if (token.owner !== owner?.login || !token.mayRead || !(token.repositories ?? [repository]).includes(repository)) {
      this.violations.push(`GET ${login}/${repository}/${path}: the token does not open it`);
      return answered(kind, 404, {}, more);
    }
    const revision = commit ? history?.revisions.findLast((one) => one.commit === commit) : history?.current;
    if (!revision || revision.state === 'absent') return answered(kind, 404, { message: 'Not Found' }, { ...more, revision });
    if (!this.#texts.has(revision.sha)) this.#texts.set(revision.sha, Buffer.from(revision.text).toString('base64').replace(/.{60}/g, '$&\n'));
    const json = { type: 'file', encoding: 'base64', sha: revision.sha, size: revision.text.length, path, content: this.#texts.get(revision.sha) };
    return answered(kind, 200, json, { ...more, revision });
  }

  #run(body, id = (this.#lastRun += 1)) {
    const run = JSON.parse(body);
    const sha = run.head_sha ?? [...this.#runs].find(([, runs]) => runs.has(id))?.[0];
    const runs = this.#runs.get(sha) ?? new Map();
    runs.set(id, { ...runs.get(id), ...run, id, app: { id: APP_ID } });
    this.#runs.set(sha, runs);
    return runs.get(id);
  }

  #wrongAppJwt(jwt, now) {
    if (!this.#jwts.has(jwt)) {
      const [header, payload, signature] = (jwt ?? '').split('.');
      if (!signature) return 'no JWT';
      const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
      const isSigned = verify('sha256', Buffer.from(`${header}.${payload}`), this.#publicKey, Buffer.from(signature, 'base64url'));
      if (!isSigned || decode(header).alg !== 'RS256') return 'the signature is not the App\'s';
      if (this.#jwts.size > 100) this.#jwts.clear();
      this.#jwts.set(jwt, decode(payload));
    }
    const { iss, iat, exp } = this.#jwts.get(jwt);
    if (String(iss) !== String(APP_ID)) return `iss is ${iss}`;
    const seconds = Math.floor(now / 1000);
    if (!(iat <= seconds && exp > seconds && exp <= iat + 600)) return `iat ${iat - seconds} s, exp ${exp - seconds} s from now`;
    return undefined;
  }
}
