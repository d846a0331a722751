// Explains why every answer was right, or says that it cannot. It knows the contract and what GitHub and the issuers
// really said when, but not how the Worker works: not what an isolate remembers, only for how long it may.
//
// A grant must come from a revision that was read within the promised age, and be exactly what that revision grants. A
// refusal must follow from such a revision, from what a call of the same exchange was answered, or from a failure that
// the caches may remember, with the status, code and text of the contract.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The promises. */
const AGES = { told: 30 * SECOND, policy: 5 * MINUTE, negative: MINUTE, stale: HOUR, coolDown: MINUTE, fetching: 20 * SECOND };
/** What an exchange may cost before its answer. */
const MOST = { calls: 8, callsToSeeAnAbsence: 2, kvReads: 4 };

const TEXTS = {
  limited: "github's rate limit is exhausted",
  unanswered: 'github did not answer as expected',
  unreadable: "github's answer cannot be read",
  wider: 'github minted a wider token than asked',
  suspended: "the app's installation is suspended",
  notInstalled: 'the app is not installed for the owner, or not on the repository',
  noLookUp: "github refuses to look up the app's installation",
  noMint: 'github refuses to mint the token',
  lacking: 'the installation lacks a permission that the policy grants, or a listed repository is not in the installation',
  noPolicy: 'there is no readable, valid trust policy of this name',
  notPermitted: 'issuer not permitted by organization policy',
  listInvalid: 'organization trusted-issuer configuration is invalid',
  listUnavailable: 'organization trusted-issuer lookup unavailable',
  listLimited: 'organization trusted-issuer lookup rate limited',
  listRefused: 'organization trusted-issuer lookup refused',
  issuerSilent: "the token's issuer did not answer",
  issuerBusy: "the keys of the token's issuer are being fetched",
  issuerUseless: "the token's issuer publishes no usable keys",
};

const CODES = {
  invalid_token: [401, 16],
  permission_denied: [403, 7],
  policy_not_found: [404, 5],
  installation_not_found: [404, 5],
  rate_limited: [429, 8],
  upstream_error: [502, 13],
  unavailable: [503, 14],
};

/** Failures that let an older copy decide: of a policy, and of an organization's list. */
const LETS_STALE = { policy: ['rate', 'server'], list: ['rate', 'server', 'none', 'broken', 'forbidden'] };
const isOf = (kinds) => (call) => kinds.includes(call.kind);
const FOR_ISSUER = isOf(['discovery', 'jwks']);
const FOR_READING = isOf(['mint-read', 'lookup']);
/** What GitHub may say to a token only because it is seconds old. */
const TOLD_TO_THE_YOUNG = ['unauthorized', 'forbidden', 'notfound'];

export class Oracle {
  /** Why answers were not plain grants, and how many. */
  outcomes = {};
  /** `{exchange, complaint}`: unexplained answers. */
  unexplained = [];
  figures = { grants: 0, stale: 0, callsOfGrants: 0, warmGrants: 0, kvReads: 0, oldestGrant: 0, oldestStale: 0, lateKeys: 0 };

  #observations = { policy: new Map(), list: new Map(), installation: new Map(), issuer: new Map() };
  #exchanges = [];

  /** Takes a batch of exchanges that have all ended, including their deferred work. */
  judge(exchanges) {
    for (const exchange of exchanges) this.#observe(exchange);
    for (const exchange of exchanges) {
      const { answer } = exchange;
      const outcome = answer.status === 200 ? 'granted' : `${answer.status} ${answer.body.error}`;
      this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
      const complaint = this.#form(exchange) ?? (answer.status === 200 ? this.#grant(exchange) : this.#refusal(exchange));
      if (complaint) this.unexplained.push({ exchange, complaint });
    }
    this.#forgetBefore(exchanges.at(-1).start - 2 * HOUR);
  }

  /** What an exchange fetched, whoever may have used it since. */
  #observe(exchange) {
    const { calls, issuer, start, end, isolate, kv } = exchange;
    const add = (kind, key, observation) => {
      const known = this.#observations[kind].get(key) ?? [];
      known.push({ start, end, isolate, kvFailed: kv.some(([operation, , how]) => operation === 'put' && how === 'fault'), ...observation });
      this.#observations[kind].set(key, known);
    };
    const forIssuer = calls.filter(FOR_ISSUER);
    if (forIssuer.length > 0) {
      const { means } = forIssuer.at(-1);
      add('issuer', issuer.url, { outcome: means === 'ok' ? 'fetched' : ['server', 'none', 'broken', 'rate'].includes(means) ? 'unavailable' : 'unusable' });
    }
    for (const call of calls) {
      const isLast = calls.filter(isOf([call.kind])).at(-1) === call;
      if (call.kind === 'lookup' && isLast) {
        const state = call.means === 'ok' ? (call.suspended ? 'suspended' : 'installed') : call.means === 'notfound' ? 'absent' : 'failed';
        add('installation', exchange.scope, { state });
      }
      if (call.kind === 'mint-read' && call.means !== 'ok') {
        const isNoPolicy = call.means === 'unprocessable' || call.means === 'forbidden';
        if (call.repository === exchange.policyRepository) add('policy', exchange.policyKey, { state: isNoPolicy ? 'absent' : 'failed', means: call.means });
        if (call.repository === '.github') add('list', exchange.owner, { state: call.means === 'unprocessable' ? 'unreadable' : 'failed', means: call.means });
      }
    }
    const [file, list] = [fileOf(calls), listOf(calls)];
    if (file) add('policy', exchange.policyKey, file);
    if (list) add('list', exchange.owner, list);
    this.#exchanges.push(exchange);
  }

  #forgetBefore(time) {
    for (const kind of Object.values(this.#observations)) {
      for (const [key, all] of kind) {
        const kept = all.filter(({ end }) => end >= time);
        if (kept.length > 0) kind.set(key, kept);
        else kind.delete(key);
      }
    }
    this.#exchanges = [];
  }

  /** Observations by exchanges that came after `since`, and none from after the answer. */
  #seen(kind, key, exchange, age) {
    return (this.#observations[kind].get(key) ?? []).filter(({ start }) => start > exchange.start - age && start <= exchange.end);
  }

  /** Rules for every answer. */
  #form({ answer: { status, headers, body }, events, lost }) {
    if (lost > 0) return 'work after the answer failed';
    if (events.length !== 1) return `${events.length} audit events`;
    const [event] = events;
    if (headers['cache-control'] !== 'no-store' || !headers['x-request-id']) return 'a header is missing';
    if (event.outcome !== (status === 200 ? 'granted' : body.error)) return `the audit event says ${event.outcome}`;
    if (status === 200) return undefined;
    const [wantedStatus, code] = CODES[body.error] ?? [];
    if (status !== wantedStatus || body.code !== code) return 'status, error and code do not belong together';
    if ((status === 429 || status === 503) !== headers['retry-after'] > 0) return `retry-after is ${headers['retry-after']}`;
    if ((status === 401) !== (headers['www-authenticate'] !== undefined)) return 'www-authenticate is missing or too much';
    return undefined;
  }

  // Grants.

  #grant(exchange) {
    const { answer: { body, headers }, token, calls, kv, event, start, ledger } = exchange;
    const complaint = this.#passedTheToken(exchange) ?? this.#passedTheList(exchange);
    if (complaint) return complaint;
    const decisive = this.#decisive(exchange);
    if (decisive.complaint) return decisive.complaint;
    const { revision, age, isStale } = decisive;
    if (headers['x-octo-sts-policy'] !== `${event.policy.sha}; age=${event.policy.age}`) return 'the policy header and the audit event differ';
    if (!isSatisfied(exchange, revision)) return 'the policy does not let this token pass';
    const minted = ledger.get(body.token);
    if (!minted || minted.exchange !== exchange.id || minted.isFlawed) return 'the token is not the one that was minted for this exchange';
    const { permissions, repositories } = scopeOf(exchange, revision);
    if (!isSame(body.permissions, permissions) || !isSame(minted.permissions, { metadata: 'read', ...permissions })) return 'the permissions are not the policy\'s';
    if (!isSame(body.repositories, repositories) || !isSame(minted.repositories, repositories)) return 'the repositories are not the policy\'s';
    if (Math.abs(body.expires_in - (minted.expires - start) / SECOND) > 1) return `expires_in is ${body.expires_in}`;
    const isConfirmed = this.#seen('installation', exchange.scope, exchange, AGES.told + 1).some(({ state }) => state === 'installed');
    if (repositories === undefined && !isConfirmed) return 'a token for a whole installation was delivered whose account nobody had confirmed';
    minted.isDelivered = true;

    const before = calls.filter(({ kind }) => kind !== 'revoke');
    const reads = kv.filter(([operation]) => operation === 'get').length;
    const isUndisturbed = calls.every(({ kind, means }) => means === 'ok' || (means === 'notfound' && ['lookup', 'issuers-file'].includes(kind))) && before.filter(isOf(['lookup'])).length <= 1;
    const most = MOST.calls + (before.some(isOf(['see'])) ? MOST.callsToSeeAnAbsence : 0);
    if (isUndisturbed && before.length > most) return `${before.length} calls for one grant`;
    if (isUndisturbed && token.isKnownKey && reads > MOST.kvReads) return `${reads} KV reads for one grant`;
    const { figures } = this;
    figures.grants += 1;
    figures.callsOfGrants += before.length;
    figures.warmGrants += before.length === 1 ? 1 : 0;
    figures.kvReads += reads;
    figures.stale += isStale ? 1 : 0;
    figures[isStale ? 'oldestStale' : 'oldestGrant'] = Math.max(figures[isStale ? 'oldestStale' : 'oldestGrant'], age);
    return undefined;
  }

  /** Steps 1 to 7: whether this token may have passed them. */
  #passedTheToken({ token, issuer, start, end }) {
    if (!['valid', 'removed-key', 'other-branch', 'other-audience'].includes(token.kind)) return `a token of kind ${token.kind} passed`;
    const { removedAt } = token.key;
    if (removedAt >= start - issuer.freshFor) return undefined;
    this.figures.lateKeys += 1;
    const isDown = this.#seen('issuer', issuer.url, { start, end }, AGES.coolDown).some(({ outcome }) => outcome === 'unavailable');
    return isDown && removedAt >= start - issuer.freshFor - HOUR ? undefined : `a key was used ${(start - removedAt) / SECOND} s after it was withdrawn`;
  }

  /** Step 9: whether the statement about the organization's list follows from a list that was read in time. */
  #passedTheList(exchange, wanted = true) {
    const { event: { organization }, owner, issuer, kv, calls, isolate } = exchange;
    if (organization?.allowed !== wanted) return `the list's decision is ${JSON.stringify(organization)}`;
    const list = listOf(calls);
    const isRefused = (one) => one.state === 'refused' && one.isolate === isolate;
    // The isolate does not repeat a request that GitHub has just refused, for as long as it may remember that.
    const isHeld = this.#seen('list', owner, exchange, AGES.told).some(isRefused);
    const failed = isHeld || list?.state === 'refused' || (list?.state === 'failed' && LETS_STALE.list.includes(list.means)) || calls.some((call) => FOR_READING(call) && LETS_STALE.list.includes(call.means));
    if (organization.stale && organization.state !== 'invalid' && !failed) return 'an older list decided though nothing failed';
    const ages = { absent: AGES.policy, unreadable: AGES.policy, present: AGES.policy, invalid: AGES.negative };
    const inTime = this.#seen('list', owner, exchange, organization.stale && failed ? AGES.stale : ages[organization.state]);
    const lists = inTime.filter(({ revision }) => !isVoid(revision, exchange) || (failed && kv.some(([, , how]) => how === 'fault')));
    const says = ({ mode, issuers }) => mode === organization.mode && issuers.includes(issuer.url) === organization.listed;
    const states = { absent: 'absent', unreadable: 'unreadable', present: 'valid', invalid: 'invalid' };
    const found = lists.filter(({ state }) => state === states[organization.state]);
    if (organization.state === 'present') return found.some(({ revision }) => says(revision)) ? undefined : 'no list of that time says so';
    if (organization.state !== 'invalid') return found.length > 0 ? undefined : 'the list was not so at that time';
    const lastGood = this.#seen('list', owner, exchange, AGES.stale + MINUTE).filter(({ state }) => state === 'valid');
    return found.length > 0 && lastGood.some(({ revision }) => says(revision)) ? undefined : 'no last good list says so';
  }

  /** Steps 10 and 11: the revision that decided, or what is wrong with it. */
  #decisive(exchange) {
    const { event: { policy }, policyKey, start, calls, isolate, kv } = exchange;
    const none = (complaint) => ({ complaint });
    if (!policy) return none('the audit event names no policy');
    const learnt = start - policy.age * SECOND;
    const all = this.#observations.policy.get(policyKey) ?? [];
    // The age is in whole seconds: an exchange of that second fetched the copy, and no other. A later exchange may have
    // fetched it while this one waited.
    const latest = policy.age === 0 ? exchange.end : learnt;
    const source = all.find((one) => one.revision?.sha === policy.sha && one.start > learnt - SECOND && one.start <= latest);
    if (!source) return none(`nobody read the revision ${policy.sha} ${policy.age} s ago`);
    const { revision } = source;
    if (revision.state !== 'valid') return none(`the revision is ${revision.state}`);
    const age = start - source.start;
    if (age < AGES.policy && !isVoid(revision, exchange)) return { revision, age, isStale: false };

    // Stale: only a failure of GitHub lets it decide, in this exchange or one that the isolate has just seen.
    const failsNow = calls.some((call) => ['mint-read', 'file'].includes(call.kind) && LETS_STALE.policy.includes(call.means));
    const isHeld = all.some((one) => one.isolate === isolate && one.state === 'failed' && LETS_STALE.policy.includes(one.means) && one.start > start - AGES.told && one.start <= exchange.end);
    if (!failsNow && !isHeld) return none(`a copy of ${age / SECOND} s decided though nothing failed`);
    if (age > AGES.stale + SECOND) return none(`a copy of ${age / SECOND} s decided`);
    const kvFailed = kv.some(([, , how]) => how === 'fault');
    if (isVoid(revision, exchange) && !kvFailed && !isHeld) return none('a copy decided that the caches had been told to forget');
    const newer = all.find((one) => one.start > source.start && one.end < start && one.state !== 'failed' && one.revision?.sha !== policy.sha && !one.kvFailed);
    if (newer && !kvFailed && !isHeld) return none(`a copy of ${age / SECOND} s decided though a newer one was known`);
    return { revision, age, isStale: true };
  }

  // Refusals.

  #refusal(exchange) {
    const { answer: { body: { error, message } }, calls, token } = exchange;
    const last = calls.filter(({ kind }) => kind !== 'revoke').at(-1);
    const [file, list] = [fileOf(calls), listOf(calls)];
    if (error === 'invalid_token' || [TEXTS.issuerSilent, TEXTS.issuerBusy].includes(message)) return this.#tokenRefusal(exchange);
    const early = this.#passedTheToken(exchange);
    if (early) return `${early} (and was refused later: ${message})`;
    const because = (isSo) => (isSo ? undefined : `nothing explains: ${error}: ${message}`);
    const lastWas = (kinds, ...means) => because(last && kinds.includes(last.kind) && means.includes(last.means));
    const any = (kinds, ...means) => because(calls.some((call) => kinds.includes(call.kind) && means.includes(call.means)));
    const seen = (kind, key, age, state) => because(this.#seen(kind, key, exchange, age).some((one) => one.state === state));
    const silent = ['server', 'none', 'broken', 'unreadable', 'unauthorized'];
    switch (message) {
      case TEXTS.suspended:
        return seen('installation', exchange.scope, AGES.negative, 'suspended');
      case TEXTS.notInstalled:
        return seen('installation', exchange.scope, AGES.negative, 'absent');
      case TEXTS.noLookUp:
        return lastWas(['lookup'], 'forbidden');
      case TEXTS.notPermitted:
        return this.#passedTheList(exchange, false);
      case TEXTS.listInvalid:
        return seen('list', exchange.owner, AGES.negative, 'invalid');
      case TEXTS.listLimited:
        return list?.state === 'failed' ? because(list.means === 'rate') : any(['lookup', 'mint-read'], 'rate');
      case TEXTS.listUnavailable:
        return list?.state === 'failed' ? because(silent.includes(list.means)) : any(['lookup', 'mint-read'], ...silent, 'forbidden', 'notfound');
      case TEXTS.listRefused:
        return seen('list', exchange.owner, AGES.negative, 'refused');
      case TEXTS.noPolicy:
        return this.#policyMissing(exchange);
      case TEXTS.noMint:
        return lastWas(['mint'], 'forbidden');
      case TEXTS.lacking:
        return lastWas(['mint'], 'unprocessable');
      case TEXTS.limited:
        return lastWas(['lookup', 'mint-read', 'file', 'mint'], 'rate');
      case TEXTS.unanswered:
        return last?.kind === 'mint' ? lastWas(['mint'], 'server', 'none', 'unauthorized', 'notfound') : last?.kind === 'file' ? because(silent.includes(file.means)) : lastWas(['lookup', 'mint-read'], ...silent);
      case TEXTS.unreadable:
        return lastWas(['mint'], 'unreadable', 'broken');
      case TEXTS.wider:
        return because(last?.kind === 'mint' && last.fault === 'wide');
      default: {
        if (error !== 'permission_denied' || !message.startsWith("the token's ")) return `nobody knows this text: ${message}`;
        const { complaint, revision } = this.#decisive(exchange);
        return complaint ?? because(!isSatisfied(exchange, revision) && token.kind !== undefined);
      }
    }
  }

  #tokenRefusal(exchange) {
    const { answer: { body: { error, message } }, token, issuer, start, isolate, calls, kv } = exchange;
    const attempts = this.#seen('issuer', issuer.url, exchange, AGES.coolDown);
    const had = (outcome) => attempts.some((one) => one.outcome === outcome);
    if (['disallowed', 'expired', 'malformed'].includes(token.kind)) {
      return error === 'invalid_token' && calls.length + kv.length === 0 ? undefined : 'a token that is none was looked at for longer than that';
    }
    if (message === TEXTS.issuerSilent) return had('unavailable') ? undefined : 'the issuer did answer';
    if (message === TEXTS.issuerUseless) return had('unusable') ? undefined : 'the issuer did publish keys';
    if (message === TEXTS.issuerBusy) {
      const others = this.#seen('issuer', issuer.url, exchange, AGES.fetching).filter((one) => one.isolate === isolate && one.start !== start);
      return others.length > 0 ? undefined : 'nobody was fetching';
    }
    if (message.endsWith('does not verify with its issuer\'s key')) return token.kind === 'bad-signature' ? undefined : 'the signature is good';
    if (!message.startsWith("the token's issuer has no key")) return `nobody knows this text: ${message}`;
    if (token.kind === 'unknown-key') return undefined;
    // A newly published key may meet a set that was fetched just before.
    const { removedAt, publishedAt } = token.key;
    const isKnown = publishedAt <= start - AGES.coolDown && removedAt > exchange.end;
    return isKnown && !had('unusable') ? 'the key has been published for longer than a minute' : undefined;
  }

  #policyMissing(exchange) {
    const { policyKey, calls } = exchange;
    const inTime = this.#seen('policy', policyKey, exchange, AGES.negative);
    const bad = inTime.filter(({ state, revision }) => (state === 'absent' || state === 'broken') && !isVoid(revision, exchange));
    const isGone = calls.some(({ kind, means }) => kind === 'mint-read' && means === 'notfound');
    return bad.length > 0 || isGone ? undefined : 'the policy was there, and valid';
  }
}

/**
 * What the calls of one exchange say about its policy file. An answer that may only mean that the token is new counts only
 * if the call was repeated; otherwise there was no answer.
 */
function fileOf(calls) {
  const asked = calls.filter(isOf(['file']));
  const last = asked.at(-1);
  if (!last) return undefined;
  const { means, fault } = last;
  const revision = fault ? undefined : last.revision;
  if (means === 'ok') return { state: revision.state, means, revision };
  if (!TOLD_TO_THE_YOUNG.includes(means)) return { state: 'failed', means, revision };
  if (!TOLD_TO_THE_YOUNG.includes(asked.at(-2)?.means)) return { state: 'failed', means: 'none' };
  return { state: means === 'unauthorized' ? 'failed' : 'absent', means, revision };
}

/**
 * What the calls of one exchange say of the organization's list. It is absent where it was twice, and the token saw the
 * repository in between; it is refused where GitHub refused twice.
 */
function listOf(calls) {
  const asked = calls.filter(isOf(['issuers-file', 'see']));
  const last = asked.at(-1);
  if (!last) return undefined;
  const { kind, means, fault } = last;
  const revision = fault ? undefined : last.revision;
  const failed = (why) => ({ state: 'failed', means: why, revision });
  if (!TOLD_TO_THE_YOUNG.includes(means)) return kind === 'see' ? failed(means === 'ok' ? 'none' : means) : means === 'ok' ? { state: revision.state, means, revision } : failed(means);
  if (kind === 'see') return failed('none');
  const seen = asked.findLastIndex((call) => call.kind === 'see' && call.means === 'ok');
  if (means === 'notfound') {
    const isTwice = asked.slice(0, Math.max(seen, 0)).some((call) => call.kind === 'issuers-file' && call.means === 'notfound');
    return isTwice ? { state: 'absent', means, revision } : failed('none');
  }
  const before = asked.at(-2);
  const isAgain = before?.kind === 'issuers-file' && ['unauthorized', 'forbidden'].includes(before.means);
  if (!isAgain) return failed('none');
  return means === 'forbidden' ? { state: 'refused', means, revision } : failed(means);
}

/** Whether the caches were cleared of the revision longer ago than an isolate may remember. */
const isVoid = (revision, { start }) => revision !== undefined && revision.toldAt + AGES.told < start;

/** The policy's decision, from the data of the revision. */
function isSatisfied({ token, policy, issuer }, { refs }) {
  if (token.kind === 'other-audience') return false;
  return policy !== undefined && issuer === policy.issuer && refs.includes(token.ref);
}

/** What the token must be valid for. */
function scopeOf({ scope, policyRepository }, { permissions, repositories }) {
  const isOfRepository = scope.includes('/');
  return { permissions, repositories: repositories ?? (isOfRepository ? [policyRepository] : undefined) };
}

function isSame(one, other) {
  const sorted = (value) => (Array.isArray(value) ? [...value].sort() : value && Object.entries(value).sort());
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}
