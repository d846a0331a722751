// What is true at which time: owners, repositories, installations, policies, lists of trusted issuers. Every change
// ends a revision and begins another, and everything is recorded, so that an answer can be compared with the state at
// its time.

import { createHash } from 'node:crypto';

import { chance } from './random.mjs';

export const OWNERS = 8;
const REPOSITORIES_EACH = 5;
const IDENTITIES = ['build', 'deploy', 'release'];
const ORGANIZATION_IDENTITIES = ['sync', 'audit'];
const POLICY_REPOSITORY = '.github';
const ISSUERS_PATH = '.github/chainguard/trusted-token-issuers.yaml';

/** What accounts grant the App; `suspended` and the rest describe an installation. */
const GRANTED = { actions: 'write', checks: 'write', contents: 'write', issues: 'write', metadata: 'read', pull_requests: 'write' };

/** Permissions of policies. Each has something that no token for reading a policy has, so that the two can be told apart. */
const PERMISSIONS = [
  { contents: 'read', issues: 'read' },
  { contents: 'write', issues: 'read' },
  { issues: 'write' },
  { contents: 'read', pull_requests: 'write' },
  { actions: 'write', contents: 'read', issues: 'write' },
];

export const blobSha = (text) => createHash('sha1').update(`blob ${Buffer.byteLength(text)}\0${text}`).digest('hex');

/** The revisions of one thing, oldest first: `{from, to, toldAt, …}`, the times being the soak's. */
class History {
  revisions = [];

  constructor(clock) {
    this.clock = clock;
  }

  get current() {
    return this.revisions.at(-1);
  }

  /** Ends the current revision and starts another. Resolves to the one that ended. */
  become(revision) {
    const ended = this.current;
    if (ended) ended.to = this.clock.now;
    this.revisions.push({ ...revision, from: this.clock.now, to: Infinity, toldAt: Infinity });
    return ended;
  }
}

export class World {
  owners = [];
  policies = [];
  #edition = 0;
  #random;

  constructor(clock, issuers, seed) {
    this.clock = clock;
    this.issuers = issuers;
    this.#random = chance(seed, 1);
    for (let index = 0; index < OWNERS; index += 1) this.owners.push(this.#owner(index));
  }

  #owner(index) {
    const login = `acme-${index}`;
    const owner = {
      login,
      kind: index === OWNERS - 1 ? 'User' : 'Organization',
      repositories: [POLICY_REPOSITORY, ...Array.from({ length: REPOSITORIES_EACH }, (_, number) => `repo-${number}`)],
      installation: new History(this.clock),
      list: new History(this.clock),
    };
    // One account selected its repositories, and neither the policy repository nor the last one is among them.
    const selected = index === OWNERS - 2 ? owner.repositories.slice(1, -1) : undefined;
    owner.installation.become({ id: 1000 + index, suspended: false, selected, permissions: GRANTED });
    owner.list.become(this.#list(index % 2 === 0 ? { state: 'absent' } : { mode: 'enforce' }));
    for (const repository of owner.repositories.slice(1)) {
      for (const identity of IDENTITIES) this.#policy(owner, repository, identity);
    }
    for (const identity of ORGANIZATION_IDENTITIES) this.#policy(owner, POLICY_REPOSITORY, identity);
    return owner;
  }

  #policy(owner, repository, identity) {
    const policy = {
      owner,
      repository,
      identity,
      path: `.github/chainguard/${identity}.sts.yaml`,
      key: `${owner.login}/${repository}/${identity}`,
      // Most jobs are of the first issuer.
      issuer: this.#random.happens(0.6) ? this.issuers[0] : this.#random.of(this.issuers),
      history: new History(this.clock),
    };
    policy.history.become(this.#revision(policy));
    this.policies.push(policy);
  }

  /** A policy's text and its meaning, for judging without parsing it. */
  #revision(policy, { refs = ['main'], permissions = this.#random.of(PERMISSIONS), state = 'valid' } = {}) {
    if (state === 'absent') return { state };
    const { owner, repository, identity } = policy;
    const isOfOrganization = repository === POLICY_REPOSITORY;
    const repositories = isOfOrganization && identity === 'sync' ? ['repo-0', 'repo-1'] : undefined;
    const where = isOfOrganization ? `${owner.login}/[a-z0-9-]+` : `${owner.login}/${repository}`;
    this.#edition += 1;
    const text = [
      `# ${this.#edition}`,
      `issuer: ${policy.issuer.url}`,
      refs.length === 1 && !isOfOrganization
        ? `subject: repo:${where}:ref:refs/heads/${refs[0]}`
        : `subject_pattern: repo:${where}:ref:refs/heads/(${refs.join('|')})`,
      ...(identity === 'release' ? ['claim_pattern:', `  repository: ${where}`] : []),
      'permissions:',
      ...Object.entries(permissions).map(([name, level]) => `  ${name}: ${state === 'broken' ? 'reed' : level}`),
      ...(repositories ? [`repositories: [${repositories.join(', ')}]`] : []),
      '',
    ].join('\n');
    return { state, text, sha: blobSha(text), refs, permissions, repositories };
  }

  #list({ state = 'valid', mode, without }) {
    if (state === 'absent') return { state };
    this.#edition += 1;
    const issuers = this.issuers.filter((issuer) => issuer !== without).map(({ url }) => url);
    const text = state === 'invalid' ? `# ${this.#edition}\nissuer: []\n` : `# ${this.#edition}\nmode: ${mode}\nissuers: [${issuers.join(', ')}]\n`;
    return { state, text, sha: blobSha(text), mode, issuers };
  }

  policyOf(login, repository, identity) {
    return this.policies.find(({ key }) => key === `${login}/${repository}/${identity}`);
  }

  ownerOf(login) {
    return this.owners.find((owner) => owner.login === login.toLowerCase());
  }

  /** What is at a path of a repository: `{revision, policy?, owner}`; no revision if nothing was ever there. */
  fileAt(login, repository, path) {
    const owner = this.ownerOf(login);
    if (repository === POLICY_REPOSITORY && path === ISSUERS_PATH) return { owner, history: owner.list };
    const policy = this.policies.find((one) => one.owner === owner && one.repository === repository && one.path === path);
    return { owner, policy, history: policy?.history };
  }

  /** Something changes. Resolves to `{owner, event, payload, ended}`, what GitHub would deliver of it. */
  change(random) {
    const bad = [
      ...this.policies.filter(({ history }) => history.current.state !== 'valid'),
      ...this.owners.filter(({ list }) => list.current.state === 'invalid'),
    ];
    // Half of all changes repair something, so that what is bad stays rare.
    if (bad.length > 0 && random.happens(0.5)) {
      const broken = random.of(bad);
      return broken.list ? this.#changeList(broken, { mode: 'enforce' }) : this.#changePolicy(broken, {});
    }
    const ailing = this.owners.filter(({ installation: { current } }) => current.suspended || current.permissions !== GRANTED);
    if (ailing.length > 0 && random.happens(0.5)) return this.#changeInstallation(random.of(ailing), { suspended: false, permissions: GRANTED });
    switch (random.weighted({ policy: 12, list: 3, installation: 2 })) {
      case 'policy': {
        const policy = random.of(this.policies);
        const change = random.weighted({ tighten: 3, loosen: 3, delete: 2, break: 2 });
        const [reading, writing] = [PERMISSIONS.slice(0, 1), PERMISSIONS.slice(1)];
        if (change === 'tighten') return this.#changePolicy(policy, { permissions: random.of(reading) });
        if (change === 'loosen') return this.#changePolicy(policy, { refs: ['main', 'stable'], permissions: random.of(writing) });
        return this.#changePolicy(policy, { state: change === 'delete' ? 'absent' : 'broken' });
      }
      case 'list': {
        const owner = random.of(this.owners);
        const kind = random.weighted({ absent: 3, audit: 2, enforce: 3, invalid: 1 });
        if (kind === 'absent' || kind === 'invalid') return this.#changeList(owner, { state: kind });
        return this.#changeList(owner, { mode: kind, without: random.happens(0.5) ? random.of(this.issuers) : undefined });
      }
      default: {
        const owner = random.of(this.owners);
        const kind = random.weighted({ suspend: 2, fewer: 2, replace: 2 });
        if (kind === 'suspend') return this.#changeInstallation(owner, { suspended: true });
        if (kind === 'fewer') return this.#changeInstallation(owner, { permissions: { ...GRANTED, issues: 'read' } });
        return this.#changeInstallation(owner, { id: owner.installation.current.id + 1000 });
      }
    }
  }

  #changePolicy(policy, change) {
    return this.#pushed(policy.owner, policy.repository, policy.path, policy.history, this.#revision(policy, change));
  }

  #changeList(owner, change) {
    return this.#pushed(owner, POLICY_REPOSITORY, ISSUERS_PATH, owner.list, this.#list(change));
  }

  #changeInstallation(owner, change) {
    const ended = owner.installation.become({ ...owner.installation.current, ...change });
    const action = change.suspended ? 'suspend' : 'new_permissions_accepted';
    const installation = { id: owner.installation.current.id, account: { login: owner.login } };
    return { owner, event: 'installation', payload: { action, installation, sender: { login: 'octocat', type: 'User' } }, ended };
  }

  #pushed(owner, repository, path, history, revision) {
    const ended = history.become(revision);
    history.current.commit = createHash('sha1').update(`${owner.login}/${repository}/${path} ${(this.#edition += 1)}`).digest('hex');
    const kind = revision.state === 'absent' ? 'removed' : ended.state === 'absent' ? 'added' : 'modified';
    const commit = { id: history.current.commit, added: [], modified: [], removed: [] };
    commit[kind].push(path);
    const payload = {
      ref: 'refs/heads/main',
      before: ended.commit ?? 'b'.repeat(40),
      after: history.current.commit,
      commits: [commit],
      repository: { id: 1, name: repository, full_name: `${owner.login}/${repository}`, owner: { login: owner.login }, default_branch: 'main' },
      installation: { id: owner.installation.current.id },
      sender: { login: 'octocat', type: 'User' },
    };
    return { owner, event: 'push', payload, ended };
  }
}
