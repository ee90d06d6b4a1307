// What stands in front of an org, and believes nobody: it holds each assertion, each token and each
// proof against the RFCs, and against what jitgate promises of them. It shares no code with either
// side: signatures are checked by jose, and what an operation needs is told by the caller.
//
// `told.promises` is true for jitgate, which promises more than Okta asks: a token for exactly what
// the operation needs, used once; an assertion that lives for a minute. It is false for others.
import { createHash, randomBytes } from 'node:crypto';
import {
  EmbeddedJWK, calculateJwkThumbprint, createLocalJWKSet, decodeProtectedHeader, jwtVerify,
} from 'jose';

const ALGORITHMS = ['RS256', 'ES256'];
const PROOF_SECONDS = 60; // how far a proof's clock may be from ours
const ASSERTION_SECONDS = { true: 60, false: 3600 }; // by whether promises are held; Okta's is an hour
const READS = ['GET', 'HEAD'];

export class Refused extends Error {
  constructor(status, error, reason) {
    super(reason);
    this.status = status;
    this.error = error;
  }
}

function demand(holds, status, error, reason) {
  if (!holds) throw new Refused(status, error, reason);
}

// The claims of a JWT that is signed as `how` says; nothing of what jose says goes further.
async function verified(jwt, key, status, error, how) {
  try {
    return await jwtVerify(jwt, key, { algorithms: ALGORITHMS, ...how });
  } catch (cause) {
    throw new Refused(status, error, `${how.what}: ${cause.message}`);
  }
}

// `host` is the org's; `clients` are {client_id, jwks}; `keys` are the public ones that tokens are
// signed with.
export function orgChecker(host, clients, keys, told) {
  const issuer = `https://${host}`;
  const keysOf = new Map(clients.map(({ client_id: id, jwks }) => [id, createLocalJWKSet(jwks)]));
  const tokenKeys = createLocalJWKSet({ keys });
  const seen = new Set(); // the ids of assertions and of proofs
  const minted = new Map(); // by a token's id {client, scopes, jkt, revoked, used: [method]}
  let nonces;

  const now = () => new Date(Date.now() + told.clock * 1000);

  function rotate() {
    nonces = [randomBytes(24).toString('base64url')];
  }

  function first(kind, id, status, error) {
    demand(typeof id === 'string' && id !== '', status, error, `a ${kind} without a jti`);
    demand(!seen.has(`${kind} ${id}`), status, error, `the ${kind} was used before`);
    seen.add(`${kind} ${id}`);
  }

  // How a client proves who it is (RFC 7523, section 3), whatever else becomes of its request.
  async function assertion(path, form, entry) {
    const failed = [401, 'invalid_client'];
    const jwt = form.get('client_assertion') ?? '';
    entry.secrets.push(jwt);
    const client = form.get('client_id') ?? claimedIssuer(jwt);
    demand(keysOf.has(client), ...failed, 'nobody that is known');
    entry.client = client;
    const { payload, protectedHeader } = await verified(jwt, keysOf.get(client), ...failed, {
      what: 'the assertion',
      issuer: client,
      subject: client,
      audience: `${issuer}${path}`,
      requiredClaims: ['exp', 'iat', 'jti'],
      currentDate: now(),
    });
    demand(typeof protectedHeader.kid === 'string', ...failed, 'the assertion names no key');
    const longest = ASSERTION_SECONDS[told.promises];
    const seconds = payload.exp - payload.iat;
    demand(seconds > 0 && seconds <= longest, ...failed, `the assertion lives for ${seconds} s`);
    demand(payload.iat <= now() / 1000 + 5, ...failed, 'the assertion is from the future');
    first('assertion', payload.jti, ...failed);
  }

  function claimedIssuer(jwt) {
    try {
      return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url')).iss;
    } catch {
      throw new Refused(401, 'invalid_client', 'the assertion is no JWT');
    }
  }

  function granted({ jti, clientId, scope, jkt }) {
    minted.set(jti, { client: clientId, scopes: scope.split(' '), jkt, used: [] });
  }

  // What a client asks to be forgotten (RFC 7009): its own tokens, and no other's.
  async function revoked(form, entry) {
    const jwt = form.get('token') ?? '';
    const { payload } = await verified(jwt, tokenKeys, 400, 'invalid_request', { what: 'the token' });
    const token = minted.get(payload.jti);
    demand(token?.client === entry.client, 400, 'invalid_request', 'the token of somebody else');
    token.revoked = true;
    entry.token = payload.jti;
  }

  // What a call comes with: the token, and the proof of the key that it is bound to.
  async function access(req, entry, needed) {
    const failed = [401, 'invalid_token'];
    const [, scheme, jwt] = /^(Bearer|DPoP) (\S+)$/.exec(req.headers.authorization) ?? [];
    demand(jwt, ...failed, 'no token');
    entry.secrets.push(jwt);
    const { payload } = await verified(jwt, tokenKeys, ...failed, {
      what: 'the token', issuer, audience: issuer, typ: 'at+jwt', requiredClaims: ['exp', 'jti'],
    });
    const token = minted.get(payload.jti);
    demand(token, ...failed, 'a token that was not minted here');
    entry.client = token.client;
    entry.token = payload.jti;
    entry.scope = token.scopes.join(' ');
    demand(!token.revoked, ...failed, 'a token that is revoked');
    demand((scheme === 'DPoP') === (token.jkt !== undefined), ...failed, `a token as ${scheme}`);
    if (scheme === 'DPoP') await proof(req, entry, jwt, token.jkt);
    sufficient(req.method, token, needed);
    token.used.push(req.method);
  }

  // RFC 9449, sections 4.3 and 7.1; the server's nonce: section 9.
  async function proof(req, entry, jwt, jkt) {
    const failed = [401, 'invalid_dpop_proof'];
    const { dpop = '' } = req.headers;
    entry.secrets.push(dpop);
    const { payload, protectedHeader } = await verified(dpop, EmbeddedJWK, ...failed, {
      what: 'the proof', typ: 'dpop+jwt', requiredClaims: ['iat', 'jti', 'htm', 'htu', 'ath'],
    });
    const thumbprint = await calculateJwkThumbprint(protectedHeader.jwk);
    demand(thumbprint === jkt, ...failed, 'the proof is by another key');
    demand(payload.htm === req.method, ...failed, `the proof is for ${payload.htm}`);
    const url = `${issuer}${req.url.split('?')[0]}`;
    demand(payload.htu === url, ...failed, `the proof is for ${payload.htu}`);
    const ath = createHash('sha256').update(jwt).digest('base64url');
    demand(payload.ath === ath, ...failed, 'the proof is for another token');
    const off = Math.abs(payload.iat - now() / 1000);
    demand(off <= PROOF_SECONDS, ...failed, `the proof's clock is off by ${Math.round(off)} s`);
    first('proof', payload.jti, ...failed);
    if (told.nonces) {
      const known = told.nonces !== 'never' && nonces.includes(payload.nonce);
      demand(known, 401, 'use_dpop_nonce', 'a proof with a nonce of the org is asked for');
    }
  }

  function sufficient(method, token, needed) {
    const failed = [403, 'insufficient_scope'];
    const missing = needed.filter((scope) => !token.scopes.includes(scope));
    demand(missing.length === 0, ...failed, `the token lacks ${missing}`);
    if (!told.promises) return;
    const more = token.scopes.filter((scope) => !needed.includes(scope));
    demand(more.length === 0, ...failed, `the token has ${more} beside what it is used for`);
    const shared = told.reuse && [...token.used, method].every((each) => READS.includes(each));
    demand(token.used.length === 0 || shared, 401, 'invalid_token', 'the token was used before');
  }

  rotate();
  return {
    assertion, granted, revoked, access, rotate, nonce: () => nonces[0],
  };
}
