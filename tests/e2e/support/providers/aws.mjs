// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html; the codes and statuses are those
// of botocore's model of STS, the texts AWS's own where the service reads them.

import { Provider, Refusal } from './provider.mjs';

const error = (status, Code, Message = 'a text for people') =>
  new Refusal(status, { Error: { Code, Message, Type: 'Sender' }, RequestId: '1' });

export class AwsSts extends Provider {
  /** The identity providers of the account. */
  providers = new Map([['https://sts.example.com', new Set(['sts.amazonaws.com'])]]);
  role = { arn: 'arn:aws:iam::123456789012:role/sts', audience: 'sts.amazonaws.com', maxSeconds: 3600 };
  isActive = true;
  /** Answers in XML, though asked for JSON. */
  inXml = false;

  #count = 0;

  constructor(party) {
    super(party, 'sts.eu-central-1.amazonaws.com');
  }

  async answer(record) {
    const otherwise = () => error(400, 'ValidationError');
    const { Action, Version, RoleArn, RoleSessionName, WebIdentityToken, DurationSeconds, ...more } =
      this.members(record, { path: '/', encoding: 'form', otherwise });
    if (Action !== 'AssumeRoleWithWebIdentity' || Version !== '2011-06-15' || Object.keys(more).length > 0) throw otherwise();
    if (!/^[\w+=,.@-]{2,64}$/.test(RoleSessionName) || !(Number(DurationSeconds) >= 900)) throw otherwise();
    if (!this.isActive) throw error(403, 'RegionDisabledException');
    const invalid = (message) => error(400, 'InvalidIdentityToken', message);
    const claims = await this.verified(WebIdentityToken, { allowsLaterIssue: true }, (reason) => {
      if (reason === 'expired') return error(400, 'ExpiredTokenException');
      return reason === 'keys'
        ? invalid("Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
        : invalid();
    });
    const audiences = this.providers.get(claims.iss);
    if (!audiences) throw invalid(`No OpenIDConnect provider found in your account for ${claims.iss}`);
    if (!audiences.has(claims.aud)) throw invalid('Incorrect token audience');
    if (RoleArn !== this.role.arn || claims.aud !== this.role.audience || !this.subjects.has(claims.sub)) {
      throw error(403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity');
    }
    if (Number(DurationSeconds) > this.role.maxSeconds) throw error(400, 'ValidationError', 'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.');
    this.#count += 1;
    const credentials = { AccessKeyId: `ASIA${String(this.#count).padStart(16, 'E')}`, SecretAccessKey: this.secret('', []), SessionToken: this.secret('session/+=') };
    // It signs; it is sent to nobody.
    this.secrets.set(credentials.SecretAccessKey, new Set());
    const end = this.party.now() + Math.min(Number(DurationSeconds), this.life);
    this.grant('aws', claims, { ...credentials, session: RoleSessionName });
    return this.inXml ? xml(credentials, end) : json(credentials, end);
  }
}

const json = (credentials, end) => ({
  AssumeRoleWithWebIdentityResponse: {
    AssumeRoleWithWebIdentityResult: { Credentials: { ...credentials, Expiration: end }, SubjectFromWebIdentityToken: 's' },
    ResponseMetadata: { RequestId: '1' },
  },
});

const xml = (credentials, end) => `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>${Object.entries(credentials).map(([name, value]) => `<${name}>${value}</${name}>`).join('')}
    <Expiration>${new Date(end * 1000).toISOString().replace(/\.\d+/, '')}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`;

/** What the request alone does not bring about, by its code. */
export const awsErrors = {
  IDPCommunicationError: error(400, 'IDPCommunicationError'),
  IDPRejectedClaim: error(403, 'IDPRejectedClaim'),
  PackedPolicyTooLarge: error(400, 'PackedPolicyTooLarge'),
  MalformedPolicyDocument: error(400, 'MalformedPolicyDocument'),
  Throttling: error(400, 'Throttling', 'Rate exceeded'),
};
