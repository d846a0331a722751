// All providers at once, each under its real host name, and what must not be seen of what they gave out.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';

import { Internet } from '../internet.mjs';
import { CANARY, Proxied } from '../proxied.mjs';
import { DOMAIN } from '../worker.mjs';
import { Anthropic } from './anthropic.mjs';
import { AwsSts } from './aws.mjs';
import { Azure } from './azure.mjs';
import { GoogleAccounts, googleProvider, GoogleSts } from './google.mjs';
import { OAuth } from './oauth.mjs';
import { OpenAi } from './openai.mjs';
import { RelyingParty } from './relying-party.mjs';

/** Where every upstream of these worlds is. */
export const UPSTREAM = 'upstream.example.com';

export const signingKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

/** A credential of each kind, as the stand-ins want it. `account` is `google` with its second leg. */
export const CREDENTIALS = {
  anthropic: { anthropic: { federation_rule_id: 'fdrl_1', organization_id: '0e1c2c8b-4b2c-4d3f-9d3a-3f1f3f0d3c11', service_account_id: 'svac_1' } },
  openai: { openai: { identity_provider_id: 'idp_1', service_account_id: 'sa_1', audience: 'https://openai.example.com' } },
  google: { google: { audience: googleProvider('google') } },
  account: { google: { audience: googleProvider('account'), service_account: 'sts@acme.iam.gserviceaccount.com' } },
  azure: { azure: { tenant_id: 'acme.example.com', client_id: 'c', scope: 'https://api.example.com/.default' } },
  oauth: { oauth: { token_url: 'https://auth.example.com/token', grant: 'token-exchange', audience: 'https://auth.example.com' } },
  aws: { aws: { role_arn: 'arn:aws:iam::123456789012:role/sts', region: 'eu-central-1', service: 'bedrock' } },
};

/** The same, with other members. */
export const credential = (name, members) => {
  const [[kind, own]] = Object.entries(CREDENTIALS[name]);
  return { [kind]: { ...own, ...members } };
};

export class Federated {
  key = signingKey();

  /** `upstreams` as for `Proxied`, but for `url`, which has a default; `upstream` is what answers there. */
  static async start(upstreams, upstream, allow) {
    const world = new Federated();
    world.internet = await Internet.open();
    world.internet.host(UPSTREAM, upstream);
    const party = new RelyingParty(`https://${DOMAIN}`, async (path) => {
      const answer = await fetch(`${world.proxied.url}${path}`);
      const text = await answer.text();
      return { status: answer.status, headers: answer.headers, body: answer.ok && JSON.parse(text) };
    });
    world.party = party;
    const google = new GoogleSts(party);
    world.providers = {
      anthropic: new Anthropic(party), openai: new OpenAi(party), google, account: new GoogleAccounts(party, google),
      azure: new Azure(party), aws: new AwsSts(party), oauth: new OAuth(party, 'auth.example.com'),
      short: new OAuth(party, 'short.example.com', { encoding: 'json' }),
    };
    for (const provider of Object.values(world.providers)) world.internet.host(provider.host, provider.answerer);
    const named = Object.entries(upstreams).map(([name, members]) => [name, { url: `https://${UPSTREAM}`, ...members }]);
    world.proxied = await Proxied.start(Object.fromEntries(named), { vars: { ISSUER_PRIVATE_KEY: world.key }, internet: world.internet, allow });
    return world;
  }

  /** Registers subjects at every provider. */
  trust(...subjects) {
    for (const { subjects: known } of Object.values(this.providers)) for (const subject of subjects) known.add(subject);
  }

  /** The name of a caller at providers, for `identity = "caller-subject"`. */
  principal(sub) {
    return `${this.proxied.iss}|${sub}`;
  }

  call(...parameters) {
    return this.proxied.call(...parameters);
  }

  /** How often a host was asked. */
  asked(host) {
    return this.internet.requestsTo({ host }).length;
  }

  /** Nothing that is secret is in the log, in KV, or with anybody whom it is not for. */
  async assertNothingLeaked() {
    const { proxied } = this;
    const nobody = [...proxied.tokens, CANARY, ...this.key.split('\n').slice(1, -2)].map((secret) => [secret, new Set()]);
    const secrets = [...Object.values(this.providers).flatMap((provider) => [...provider.secrets]), ...nobody];
    assert.ok(secrets.length > nobody.length, 'there was something to hide');
    const written = [...proxied.logs.map(({ message }) => message), ...(await proxied.stored()).flat()];
    for (const [secret, hosts] of secrets) {
      for (const text of written) assert.ok(!text.includes(secret), `${secret.slice(0, 16)} in ${text.slice(0, 200)}`);
      for (const { host, path, headers, body } of this.internet.requests) {
        const sent = [path, JSON.stringify(headers), body];
        if (!hosts.has(host)) assert.ok(!sent.some((text) => text.includes(secret)), `${secret.slice(0, 16)} at ${host}${path}`);
      }
    }
    assert.deepEqual(this.internet.strays.map(({ host, path }) => host + path), [], 'requests to strangers');
  }

  async stop() {
    await this.proxied?.stop();
    await this.internet?.close();
  }
}
