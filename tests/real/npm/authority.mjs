// What every Okta org here has in common: its authorization server, which is a real oidc-provider,
// the checker before that and before the API, and the faults that a test may tell it to have.
import { randomBytes, randomUUID } from 'node:crypto';
import { errors } from 'oidc-provider';
import { Refused, orgChecker } from './checker.mjs';
import { machineProvider, reasonOf, signingKey } from './provider.mjs';

const TOKEN = '/oauth2/v1/token';
const REVOKE = '/oauth2/v1/revoke';
const KEYS = '/oauth2/v1/keys';

// What a test may tell an org, all of it at once; what is left out is as it stands here.
const AS_OKTA = {
  token: null, // a fault of the token endpoint: one of FAULTS, or {scope}: it grants that in place
  revoke: null, // a fault of the revocation endpoint
  clock: 0, // seconds by which the org's clock is ahead
  nonces: true, // the API asks for nonces; 'never': and takes none
  promises: true, // what jitgate promises is held against it
  reuse: false, // several reads with one token are as promised
  echo: null, // the API answers with what it was given: 'body', or 'page' for an error page
};

function say(res, status, members, more = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...more });
  res.end(JSON.stringify(members));
}

const FAULTS = {
  down: (res) => res.destroy(),
  silent: () => {},
  broken: (res) => say(res, 500, { errorCode: 'E0000009', errorSummary: 'Internal Server Error' }),
  cut: (res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end('{"token_type":"DPoP","expires_in":3600,"access_token":"eyJ');
  },
  nonces: (res) => say(res, 400, { error: 'use_dpop_nonce' }, {
    'dpop-nonce': randomBytes(24).toString('base64url'),
  }),
};

// What a target does that tells whoever calls all that it was sent.
const ECHOES = {
  body: ({ headers, url }, res) => say(res, 200, [{ id: '1', url, headers }], {
    'x-echo': headers.authorization,
    'set-cookie': `proof=${headers.dpop}`,
  }),
  page: ({ headers }, res) => {
    res.writeHead(500, 'Internal Server Error', { 'content-type': 'text/html' });
    const listed = Object.entries(headers).map(([name, value]) => `<li>${name}: ${value}</li>`);
    res.end(`<!DOCTYPE html><title>${headers.authorization}</title><ul>${listed.join('')}</ul>`);
  },
};

// `clients` are {client_id, jwks, scopes, dpop}: the service apps, and what each is granted.
export function orgAuthority(host, clients) {
  const issuer = `https://${host}`;
  const key = signingKey('RS256');
  const { kty, n, e, kid, alg } = key;
  const byId = new Map(clients.map((client) => [client.client_id, client]));
  const told = { ...AS_OKTA };
  const checker = orgChecker(host, clients, [{ kty, n, e, kid, alg }], told);

  function checkScopes(requested, client) {
    const refused = [...requested].find((scope) => !byId.get(client).scopes.includes(scope));
    if (refused || requested.size === 0) {
      throw new errors.InvalidScope('scopes must be named, and granted to the client', refused);
    }
  }

  const provider = machineProvider(issuer, {
    keys: [key],
    clients: clients.map(({ client_id: id, jwks, dpop }) => ({
      client_id: id,
      jwks,
      dpop_bound_access_tokens: dpop,
      token_endpoint_auth_method: 'private_key_jwt',
    })),
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'ES256'],
      dPoPSigningAlgValues: ['RS256', 'ES256'],
    },
    clockTolerance: 3600, // the checker has looked at times before, by the org's clock
    resource: {
      identifier: issuer,
      audience: issuer,
      scopes: clients.flatMap(({ scopes }) => scopes),
      ttl: 3600,
    },
    checkScopes,
    features: {
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
    },
    // As Okta has it: the scopes are an array, and the client has a name of its own.
    formats: {
      customizers: {
        jwt: (ctx, token, { payload }) => {
          payload.scp = payload.scope.split(' ');
          payload.cid = payload.client_id;
          delete payload.scope;
          delete payload.client_id;
        },
      },
    },
    routes: { token: TOKEN, revocation: REVOKE, jwks: KEYS },
  });
  provider.on('grant.success', (ctx) => {
    const token = ctx.oidc.entities.ClientCredentials;
    checker.granted(token);
    ctx.req.entry.scope = token.scope;
    ctx.req.entry.token = token.jti;
    ctx.req.entry.secrets.push(ctx.body.access_token);
  });
  provider.on('grant.error', (ctx, error) => {
    ctx.req.entry.reason = reasonOf(error);
  });
  const authorizationServer = provider.callback();

  async function serve(req, res, entry, body) {
    req.headers.host = host; // whatever port a test reached it by
    req.body = String(body);
    req.entry = entry;
    await authorizationServer(req, res);
  }

  async function authorize(req, res, body, entry) {
    if (entry.path !== TOKEN && entry.path !== REVOKE) {
      await serve(req, res, entry, body);
      return;
    }
    const form = new URLSearchParams(String(body));
    if (req.headers.dpop) entry.secrets.push(req.headers.dpop);
    const fault = entry.path === TOKEN ? told.token : told.revoke;
    if (fault in FAULTS) {
      entry.reason = fault;
      entry.secrets.push(form.get('client_assertion'));
      FAULTS[fault](res);
      return;
    }
    await checker.assertion(entry.path, form, entry);
    if (entry.path === REVOKE) {
      // oidc-provider keeps no JWT that it signed, and refuses to revoke one.
      await checker.revoked(form, entry);
      res.writeHead(200);
      res.end();
      return;
    }
    if (fault?.scope) form.set('scope', fault.scope);
    await serve(req, res, entry, form);
  }

  function refuse(res, entry, { status, error, message }) {
    entry.reason = message;
    if (entry.path === TOKEN || entry.path === REVOKE) {
      say(res, status, { error, error_description: 'as the journal says' });
      return;
    }
    const more = error === 'use_dpop_nonce' ? { 'dpop-nonce': checker.nonce() } : {};
    say(res, status, {
      error, // which okta-sdk-python looks at; what follows is Okta's own form
      errorCode: status === 403 ? 'E0000006' : 'E0000011',
      errorSummary: status === 403 ? 'You do not have permission' : 'Invalid token provided',
      errorLink: 'none',
      errorId: `oae${randomUUID()}`,
      errorCauses: [{ errorSummary: message }],
    }, { 'www-authenticate': `DPoP error="${error}", algs="RS256 ES256"`, ...more });
  }

  return {
    isFor: (path) => [TOKEN, REVOKE, KEYS].includes(path),

    // Does what `act` does; where the checker refuses, it says so in the form of the endpoint.
    async guarded(req, res, entry, act) {
      res.setHeader('date', new Date(Date.now() + told.clock * 1000).toUTCString());
      try {
        await act();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        refuse(res, entry, error);
      }
    },
    authorize,

    // Looks at what a call came with; whether it is answered already, as a test may tell an org to.
    async access(req, res, entry, needed) {
      await checker.access(req, entry, needed);
      if (told.echo) ECHOES[told.echo](req, res);
      return told.echo !== null;
    },
    actions: {
      'POST /tell': (what) => { Object.assign(told, AS_OKTA, what); },
      'POST /rotate': checker.rotate,
    },
  };
}
