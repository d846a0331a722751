// What the proxy is compared with: it verifies nothing, knows no rule, sets no time limit and writes no event. It makes the
// call to an object that the proxy makes, with one read and one write there, filters the same headers and streams.

import { DurableObject } from 'cloudflare:workers';

const PREFIX = '/proxy/models';

const REQUEST = new Set('connection keep-alive te trailer transfer-encoding upgrade authorization x-api-key host expect cookie forwarded x-real-ip true-client-ip cdn-loop'.split(' '));
const REQUEST_FAMILIES = ['proxy-', 'x-forwarded-', 'cf-'];
const ANSWER = new Set('connection keep-alive te trailer transfer-encoding upgrade set-cookie alt-svc strict-transport-security'.split(' '));
const ANSWER_FAMILIES = ['proxy-', 'access-control-'];

function filter(headers, names, families) {
  for (const name of [...headers.keys()]) {
    if (names.has(name) || families.some((family) => name.startsWith(family))) headers.delete(name);
  }
}

export default {
  async fetch(request, env) {
    // An object for each token, as the proxy has one for each run: the bench has a run for each token.
    const token = (request.headers.get('authorization') ?? '').slice(-43);
    const ask = encodeURIComponent(JSON.stringify({ token, max: 10_000 }));
    const budget = env.PROXY_BUDGETS.get(env.PROXY_BUDGETS.idFromName(token));
    const remaining = await (await budget.fetch(`https://budget.invalid/?${ask}`)).text();
    if (remaining === 'none') return new Response(null, { status: 403 });

    const { url } = request;
    const out = new Request(env.UPSTREAM + url.slice(url.indexOf(PREFIX) + PREFIX.length), request);
    filter(out.headers, REQUEST, REQUEST_FAMILIES);
    out.headers.set('authorization', `Bearer ${env.MODELS_KEY}`);
    const answer = await fetch(out, { redirect: 'manual', cache: 'no-store' });
    const back = new Response(answer.body, answer);
    filter(back.headers, ANSWER, ANSWER_FAMILIES);
    back.headers.set('x-remaining', remaining);
    return back;
  },
};

export class ProxyBudget extends DurableObject {
  async fetch(request) {
    const ask = JSON.parse(decodeURIComponent(new URL(request.url).search.slice(1)));
    const { kv } = this.ctx.storage;
    const stored = kv.get('state');
    const state = stored ? JSON.parse(stored) : { used: 0 };
    if (state.used >= ask.max) return new Response('none');
    state.used += 1;
    kv.put('state', JSON.stringify(state));
    if (!stored) await this.ctx.storage.setAlarm(Date.now() + 86_400_000);
    return new Response(String(ask.max - state.used));
  }

  alarm() {
    return this.ctx.storage.deleteAll();
  }
}
