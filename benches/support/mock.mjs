// GitHub, the issuer, KV and an API behind the proxy, as fast as Node.js answers, in a separate process, so that their cost is in no figure.
// It checks nothing. Answers have the headers and the size of GitHub's.

import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';

import { upstream, UPSTREAM_HOST } from './upstream.mjs';

const { jwk, policy, issuer, installation } = JSON.parse(process.env.FIXTURES);
const SHA = '95b966ae1c166bd92f8ae7d1c313e738c731dfc3';

/** Other headers that GitHub sends. */
const GITHUB_HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'private, max-age=60, s-maxage=60',
  vary: 'Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept, X-Requested-With',
  etag: 'W/"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
  'x-github-media-type': 'github.v3; format=json',
  'x-github-api-version-selected': '2022-11-28',
  'x-ratelimit-limit': '5000',
  'x-ratelimit-remaining': '4999',
  'x-ratelimit-reset': '1900000000',
  'x-ratelimit-used': '1',
  'x-ratelimit-resource': 'core',
  'access-control-expose-headers': 'ETag, Link, Location, Retry-After, X-GitHub-OTP, X-RateLimit-Limit, X-OAuth-Scopes',
  'access-control-allow-origin': '*',
  'strict-transport-security': 'max-age=31536000; includeSubdomains; preload',
  'x-frame-options': 'deny',
  'x-content-type-options': 'nosniff',
  'x-xss-protection': '0',
  'referrer-policy': 'origin-when-cross-origin, strict-origin-when-cross-origin',
  'content-security-policy': "default-src 'none'",
  server: 'github.com',
  'x-github-request-id': '0400:1C3F:5B2E9F:6D1A2B:67890ABC',
};

/** A repository as answers describe it: most of it links, 5 KB. */
function repository(owner, name) {
  const links = 'archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees';
  const url = `https://api.github.com/repos/${owner}/${name}`;
  return {
    id: 4242,
    node_id: 'MDEwOlJlcG9zaXRvcnk0MjQy',
    name,
    full_name: `${owner}/${name}`,
    private: true,
    owner: { login: owner, id: 99, node_id: 'MDEyOk9yZ2FuaXphdGlvbjk5', type: 'Organization', site_admin: false, url: `https://api.github.com/users/${owner}`, html_url: `https://github.com/${owner}` },
    html_url: `https://github.com/${owner}/${name}`,
    description: 'An application',
    fork: false,
    url,
    ...Object.fromEntries(links.split(' ').map((link) => [`${link}_url`, `${url}/${link}{/id}`])),
    created_at: '2020-01-01T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
    pushed_at: '2026-01-01T00:00:00Z',
    size: 4096,
    stargazers_count: 0,
    language: 'Rust',
    topics: ['application'],
    visibility: 'private',
    default_branch: 'main',
    permissions: { admin: false, maintain: false, push: false, triage: false, pull: false },
  };
}

function minted(asked, owner) {
  return JSON.stringify({
    token: `ghs_${randomBytes(18).toString('hex')}`,
    expires_at: new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+/, ''),
    permissions: { ...asked.permissions, metadata: 'read' },
    repository_selection: asked.repositories ? 'selected' : 'all',
    ...(asked.repositories && { repositories: asked.repositories.map((name) => repository(owner, name)) }),
  });
}

const PERMISSIONS = { checks: 'write', contents: 'write', issues: 'write', metadata: 'read', pull_requests: 'read' };

/** `acme` and every owner whose name begins with it have the App. The installation's id says whose it is. */
function github(method, path, body) {
  let match;
  if ((match = /^\/app\/installations\/\d+\/access_tokens$/.exec(path))) return [201, minted(JSON.parse(body), 'acme')];
  if ((match = /^\/(?:repos|orgs|users)\/([^/]+)(?:\/[^/]+)?\/installation$/.exec(path))) {
    const [, owner] = match;
    if (owner !== 'acme') return [404, '{"message":"Not Found"}'];
    return [200, JSON.stringify({ id: installation, account: { login: owner }, permissions: PERMISSIONS, suspended_at: null })];
  }
  if (path.endsWith('/trusted-token-issuers.yaml')) return [404, '{"message":"Not Found"}'];
  if (path.includes('/contents/')) {
    const content = Buffer.from(policy).toString('base64').replace(/(.{60})/g, '$1\n');
    return [200, JSON.stringify({ type: 'file', encoding: 'base64', size: policy.length, name: 'p', path: 'p', sha: SHA, url: 'https://api.github.com/', content })];
  }
  if ((match = /^\/repos\/([^/]+)\/([^/]+)$/.exec(path))) return [200, JSON.stringify(repository(match[1], match[2]))];
  if (path.startsWith('/installation/token')) return [204, ''];
  if (/\/check-runs(\/\d+)?$/.test(path) && method !== 'GET') return [method === 'POST' ? 201 : 200, '{"id":1,"name":"x","app":{"id":4711},"output":{}}'];
  if (path.includes('/check-runs')) return [200, '{"total_count":0,"check_runs":[]}'];
  return [404, '{"message":"Not Found"}'];
}

function internet(method, host, path, body) {
  if (host === 'api.github.com') return github(method, path, body);
  if (host !== new URL(issuer).host) return [502, ''];
  const document = path.startsWith('/.well-known/openid-configuration')
    ? { issuer, jwks_uri: `${issuer}/.well-known/jwks` }
    : { keys: [jwk] };
  return [200, JSON.stringify(document)];
}

let requests = 0;
const store = new Map();

function kv(method, path, body) {
  const key = path.split('?')[0];
  if (method === 'PUT') return [200, void store.set(key, body) ?? ''];
  if (method === 'DELETE') return [200, void store.delete(key) ?? ''];
  if (key === '/bulk/get') {
    const path = (name) => `/${encodeURIComponent(name)}`;
    return [200, JSON.stringify(Object.fromEntries(JSON.parse(body).keys.map((name) => [name, store.get(path(name)) ?? null])))];
  }
  if (key === '/') return [200, '{"keys":[],"list_complete":true}'];
  return store.has(key) ? [200, store.get(key)] : [404, ''];
}

function listen(answer, headers) {
  const server = createServer((incoming, outgoing) => {
    if (incoming.headers.host === UPSTREAM_HOST) return void upstream(incoming, outgoing);
    const chunks = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const [status, body] = answer(incoming, Buffer.concat(chunks).toString());
      outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
      outgoing.end(body);
    });
  });
  server.keepAliveTimeout = 600_000;
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

const internetPort = await listen((incoming, body) => {
  requests += 1;
  return internet(incoming.method, incoming.headers.host, incoming.url, body);
}, GITHUB_HEADERS);
const kvPort = await listen((incoming, body) => kv(incoming.method, incoming.url, body), {});

process.on('message', ({ id, empty }) => {
  if (empty) store.clear();
  process.send({ id, requests });
});
process.on('disconnect', () => process.exit());
process.send({ internetPort, kvPort });
