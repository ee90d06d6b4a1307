// A SAML identity provider without a browser before it: samlp makes and signs the responses,
// xml-crypto, with which it signs, signs whatever else a test makes up.
//
// Each line on standard input is a JSON object {do, ...}, each line on standard output its answer:
//   respond {options}: samlp's response for the user in options.user
//   sign {xml, key, at, transforms, canonical, signature, digest, reference, info}: the XML, signed
//   metadata {options}: samlp's metadata
// The end of standard input ends it.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const samlp = require('samlp');
const { SignedXml } = require('xml-crypto');

// samlp's mapper names claims as WS-Federation does; here they have the names a test gives them.
function mapper(user) {
  return {
    getClaims: () => user.attributes,
    getNameIdentifier: () => ({ nameIdentifier: user.name, nameIdentifierFormat: user.format }),
  };
}

const actions = {
  respond: ({ user, ...options }) =>
    new Promise((resolve, reject) => {
      samlp.getSamlResponse({ ...options, profileMapper: mapper }, user, (error, response) =>
        error ? reject(error) : resolve(response));
    }),
  sign: ({ xml, key, at, transforms, canonical, signature, digest, reference, info }) => {
    const signed = new SignedXml(null, { signatureAlgorithm: signature, idAttribute: 'ID' });
    signed.canonicalizationAlgorithm = canonical;
    signed.addReference(reference, transforms, digest);
    signed.signingKey = key;
    signed.keyInfoProvider = { getKeyInfo: () => info };
    signed.computeSignature(xml, { location: { reference: at, action: 'after' } });
    return signed.getSignedXml();
  },
  metadata: (options) => {
    let sent;
    const req = { headers: { host: 'idp.example' }, protocol: 'https', originalUrl: '/' };
    samlp.metadata(options)(req, { set: () => {}, send: (text) => { sent = text; } });
    return sent;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { said: await actions[action](rest) };
  } catch (error) {
    answer = { raised: `${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
