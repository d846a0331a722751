// Parses the inputs. This module validates only what decides where the job's token goes; the service validates
// names, permissions and repositories.

/** The inputs of `obtain`. If one is invalid, the error names it. */
export function readInputs(runner) {
  const service = serviceOf(runner.input('domain'));
  const audience = runner.input('audience') ?? service.domain;
  const github = githubOf(runner.input('github-url') ?? runner.variable('GITHUB_SERVER_URL') ?? 'https://github.com');
  const configureGit = flag(runner, 'configure-git');
  const upstream = runner.input('upstream');
  if (upstream !== undefined) {
    if (!/^[A-Za-z0-9._-]{1,100}$/.test(upstream)) throw new Error(`\`upstream\`: \`${upstream}\` is not the name of an upstream`);
    for (const name of ['scope', 'identity', 'permissions', 'repositories']) {
      if (runner.input(name) !== undefined) throw new Error(`\`upstream\` and \`${name}\` cannot be used together: a session is for the upstream alone`);
    }
    if (configureGit) throw new Error('`upstream` and `configure-git` cannot be used together: a session is not a GitHub token');
    return { service, audience, github, upstream, configureGit };
  }
  const identity = runner.input('identity');
  if (identity === undefined) throw new Error('`identity` is missing: give the name of the trust policy');
  const scope = runner.input('scope') ?? runner.variable('GITHUB_REPOSITORY');
  if (scope === undefined) throw new Error('`scope` is missing: give the repository, `acme/app`');
  const permissions = permissionsOf(runner.input('permissions'));
  const repositories = listOf(runner.input('repositories'));
  return { service, audience, github, scope, identity, permissions, repositories, configureGit };
}

/** A bare host. `http` is allowed only on this machine, for `wrangler dev` and tests. */
function serviceOf(domain) {
  if (domain === undefined) throw new Error('`domain` is missing: give the host of the service, `sts.example.com`');
  if (/^(localhost|127\.0\.0\.1):[0-9]{1,5}$/.test(domain)) return { domain, url: `http://${domain}` };
  const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
  if (!new RegExp(`^${label}(?:\\.${label})*(?::[0-9]{1,5})?$`).test(domain)) {
    throw new Error(`\`domain\`: \`${domain}\` is not a bare host; write \`sts.example.com\`, without scheme and path`);
  }
  return { domain, url: `https://${domain}` };
}

/** The web address of a GitHub, and its REST API. */
function githubOf(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`\`github-url\`: \`${text}\` is not a URL; write \`https://github.com\``);
  }
  const isHere = url.hostname === 'localhost' || url.hostname === '127.0.0.1';
  const isBare = url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  if (!isBare || !(url.protocol === 'https:' || (url.protocol === 'http:' && isHere))) {
    throw new Error(`\`github-url\`: \`${text}\` is not the address of a GitHub; write \`https://github.com\`, without a path`);
  }
  const web = url.origin;
  if (url.hostname === 'github.com') return { web, api: 'https://api.github.com' };
  if (url.hostname.endsWith('.ghe.com')) return { web, api: `https://api.${url.host}` };
  return { web, api: `${web}/api/v3` };
}

function flag(runner, name) {
  const value = runner.input(name) ?? 'false';
  if (!/^(true|false)$/i.test(value)) throw new Error(`\`${name}\`: \`${value}\` is neither \`true\` nor \`false\``);
  return value.toLowerCase() === 'true';
}

/** `contents:read, issues: read`, or one on each line as in YAML; `undefined` without an input. */
function permissionsOf(text) {
  const items = listOf(text);
  if (items === undefined) return undefined;
  const permissions = new Map();
  for (const item of items) {
    const [, name, level] = /^([A-Za-z_-]+)\s*[:=]\s*([A-Za-z]+)$/.exec(item) ?? [];
    if (name === undefined) throw new Error(`\`permissions\`: \`${item}\` is not a permission; write \`contents:read\``);
    if (permissions.has(name)) throw new Error(`\`permissions\`: \`${name}\` is there twice`);
    permissions.set(name, level);
  }
  return Object.fromEntries(permissions);
}

/** Items separated by commas or line breaks. */
function listOf(text) {
  if (text === undefined) return undefined;
  const items = text.split(/[,\n\r]/).map((item) => item.trim()).filter(Boolean);
  if (items.length === 0) throw new Error(`\`${text}\` lists nothing`);
  return items;
}
