// A stand-in for Anthropic: its token endpoint, which trades an assertion of a service that it trusts for an access token,
// and its messages, as server-sent events. It keeps no key of anybody's: it reads the service's published ones.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** What an operator enters in Anthropic's console, as far as it matters here. */
export const FEDERATION = { federation_rule_id: 'fdrl_demo', organization_id: 'org_demo', service_account_id: 'svac_demo' };
const AUDIENCE = 'https://api.anthropic.com';
const WORDS = ['A credential ', 'that nobody holds ', 'cannot leak.'];
const PAUSE_MS = 150;

export class Anthropic {
  /** The claims of every exchanged assertion. */
  traded = [];
  /** Issued access tokens. */
  tokens = [];
  /** Everything in a request for messages: headers as text. */
  arrived = [];

  #server;
  #issuer;
  #keys;

  /** Trusts `issuer`, whose addresses `reach` fetches. */
  static async start({ issuer, reach }) {
    const anthropic = new Anthropic();
    anthropic.#issuer = issuer;
    anthropic.#keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { [customFetch]: reach });
    anthropic.#server = createServer((request, response) => {
      anthropic.#answer(request, response).catch((error) => {
        if (response.headersSent) return response.destroy();
        return json(response, 401, { type: 'error', error: { type: 'authentication_error', message: error.message } });
      });
    });
    anthropic.#server.listen(0, '127.0.0.1');
    await once(anthropic.#server, 'listening');
    return anthropic;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}');
    if (request.url === '/v1/oauth/token') return this.#trade(body, response);
    this.arrived.push(JSON.stringify(request.headers));
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!this.tokens.includes(bearer)) return json(response, 401, { type: 'error', error: { type: 'authentication_error', message: 'who are you?' } });
    return stream(response, body);
  }

  async #trade({ grant_type: grant, assertion, ...members }, response) {
    if (grant !== GRANT) throw new Error('this grant is not known');
    for (const [name, value] of Object.entries(FEDERATION)) if (members[name] !== value) throw new Error(`${name} is another`);
    const { payload } = await jwtVerify(assertion, this.#keys, { issuer: this.#issuer, audience: AUDIENCE, algorithms: ['RS256'], typ: 'JWT' });
    if (this.traded.some(({ jti }) => jti === payload.jti)) throw new Error('the assertion was used before');
    this.traded.push(payload);
    const token = `sk-ant-oat01-${randomBytes(24).toString('base64url')}`;
    this.tokens.push(token);
    json(response, 200, { access_token: token, token_type: 'Bearer', expires_in: 3600 });
  }
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function stream(response, { model }) {
  const event = (type, data) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  const message = { id: 'msg_demo', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  event('message_start', { message });
  event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
  for (const text of WORDS) {
    event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
    await sleep(PAUSE_MS);
  }
  event('content_block_stop', { index: 0 });
  event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 9 } });
  event('message_stop', {});
  response.end();
}
