// Presents a refusal to its reader: the reason, the claims that mattered, what to check, and the command that explains it.

/** The claims that policies for GitHub Actions use, the most important first. */
const USUAL_CLAIMS = ['iss', 'sub', 'aud', 'repository', 'ref', 'event_name', 'environment', 'job_workflow_ref', 'workflow_ref', 'repository_id', 'repository_owner_id', 'repository_visibility', 'runner_environment', 'actor'];

/** The errors that depend on the policy and the token. */
const ABOUT_THE_TOKEN = new Set(['permission_denied', 'policy_not_found', 'invalid_token', 'invalid_grant']);

export class Refusal extends Error {
  #inputs;
  #answer;
  #body;
  #claims;

  constructor(inputs, answer, body, claims) {
    super(messageOf(answer, body, inputs));
    this.#inputs = inputs;
    this.#answer = answer;
    this.#body = body ?? {};
    this.#claims = claims ?? {};
  }

  tell(runner) {
    if (this.#isAboutTheToken()) runner.group('Claims of the job\'s token', JSON.stringify(this.#claims, null, 2));
    const hint = this.#hint();
    runner.error(hint ? `${this.message}; ${hint}` : this.message);
    runner.summary(this.#page());
  }

  #isAboutTheToken() {
    return ABOUT_THE_TOKEN.has(this.#body.error);
  }

  /** What to do, if the answer alone does not say it. */
  #hint() {
    const { scope, identity, audience, service } = this.#inputs;
    switch (this.#body.error) {
      case 'policy_not_found':
        return `looked for \`${policyFile(identity)}\` on the default branch of \`${policyRepository(scope)}\``;
      case 'installation_not_found':
        return `the App of this service has to be installed for \`${scope}\``;
      case 'invalid_token':
      case 'invalid_grant':
        return audience === service.domain ? undefined : `the token was requested with the audience \`${audience}\``;
      case 'rate_limited':
      case 'unavailable':
        return 'run the job again later';
      default:
        return undefined;
    }
  }

  #page() {
    const { scope, identity, upstream, service } = this.#inputs;
    const what = upstream === undefined ? `${code(scope)} by the policy ${code(identity)}` : `the upstream ${code(upstream)}`;
    const hint = this.#hint();
    const parts = ['### ❌ No token', `${code(service.domain)} gave no token for ${what}:`, `> ${inMarkdown(this.message)}`];
    if (hint) parts.push(`${inMarkdown(hint[0].toUpperCase() + hint.slice(1))}.`);
    if (this.#isAboutTheToken()) parts.push(this.#claimsTable(), ...this.#explanation());
    const id = this.#body.request_id;
    if (typeof id === 'string') parts.push(`<sub>HTTP ${this.#answer.status}, request ${code(id)}</sub>`);
    return `${parts.join('\n\n')}\n`;
  }

  #claimsTable() {
    const named = new Set([...this.message.matchAll(/claim `([^`]+)`/g)].map(([, name]) => name));
    const about = { subject: 'sub', issuer: 'iss', audience: 'aud', audiences: 'aud' };
    for (const [word, claim] of Object.entries(about)) if (new RegExp(`token's ${word}\\b`).test(this.message)) named.add(claim);
    const shown = [...named, ...USUAL_CLAIMS.filter((name) => !named.has(name) && name in this.#claims)];
    const rows = shown.map((name) => {
      const value = this.#claims[name];
      const text = value === undefined ? '<em>not in the token</em>' : code(typeof value === 'string' ? value : JSON.stringify(value));
      return `| ${code(name)} | ${text} | ${named.has(name) ? '❌ refused' : ''} |`;
    });
    return ['| claim | value | |', '| --- | --- | --- |', ...rows].join('\n');
  }

  #explanation() {
    const { scope, identity, upstream, service } = this.#inputs;
    // Somebody will paste this command, so no input may add anything to it.
    if (upstream !== undefined || !/^[A-Za-z0-9._-]+$/.test(identity)) return [];
    const org = scope.includes('/') ? '' : ' --org';
    const command = `sts explain ${policyFile(identity)}${org} --domain ${service.domain} --claims - <<'CLAIMS'`;
    // The here-document is quoted, so the shell interprets nothing in a claim.
    const block = `${command}\n${JSON.stringify(this.#claims, null, 2)}\nCLAIMS`;
    const fence = '`'.repeat(Math.max(3, ...[...block.matchAll(/`+/g)].map(([run]) => run.length + 1)));
    return [
      `To see every rule of the policy and why this token does not pass, in a clone of ${code(policyRepository(scope))}:`,
      `${fence}sh\n${block}\n${fence}`,
    ];
  }
}

function messageOf({ status }, body, { service }) {
  const text = body?.message ?? body?.error_description ?? body?.error;
  if (typeof text === 'string' && text !== '') return text.slice(0, 2000).replace(/[\r\n]+/g, ' ');
  if (status >= 300 && status < 400) return `\`${service.domain}\` redirects, which the service never does; is this its domain?`;
  return `\`${service.domain}\` answered with ${status} and no reason; is this the domain of the service?`;
}

const policyFile = (identity) => `.github/chainguard/${identity}.sts.yaml`;
const policyRepository = (scope) => (scope.includes('/') ? scope : `${scope}/.github`);

const html = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** What Markdown reads, and what GitHub makes a link of: the address of an issuer is a name here. */
const SPECIAL = /[`|*_~\\[\]#!@]|:(?=\/\/)|(?<=\bwww)\./gi;
const byNumber = (character) => `&#${character.codePointAt(0)};`;

/** A value in a page or a table, whatever it holds. */
function code(text) {
  return `<code>${html(text).replace(/[\r\n]+/g, ' ').replace(SPECIAL, byNumber)}</code>`;
}

/** A message of the service; the text between backticks is user input. */
function inMarkdown(message) {
  return message.split('`').map((part, index) => (index % 2 === 1 ? code(part) : html(part).replace(SPECIAL, byNumber))).join('');
}
