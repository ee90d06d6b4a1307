// Okta's SDK for Node with an API token that is of no use to anybody: the gateway replaces it.
import okta from '@okta/okta-sdk-nodejs';
import { tell } from './client.mjs';

const client = new okta.Client({
  orgUrl: 'https://acme.okta.example',
  token: 'the-agents-own',
});

async function all(collection) {
  const found = [];
  await collection.each((each) => { found.push(each); });
  return found;
}

const logins = async () => (await all(await client.userApi.listUsers())).map(({ profile }) => profile.login);

await tell({
  read: logins,
  masked: async () => {
    const apps = await all(await client.applicationApi.listApplications());
    return apps.map(({ label, credentials }) => [label, credentials.oauthClient.client_secret]);
  },
  write: async () => {
    const profile = {
      firstName: 'Grace', lastName: 'Hopper', email: 'grace@acme.example', login: 'grace@acme.example',
    };
    const user = await client.userApi.createUser({ body: { profile } });
    return user.profile.login;
  },
  several: async () => {
    const lengths = [];
    for (let n = 0; n < 4; n += 1) lengths.push((await logins()).length);
    const rest = await Promise.all(Array.from({ length: 4 }, logins));
    return [...lengths, ...rest.map(({ length }) => length)];
  },
  deactivate: () => client.userApi.deactivateUser({ userId: '00ubob00000000000002' }),
  denied: () => client.roleAssignmentApi.assignRoleToUser({
    userId: '00u1',
    assignRoleRequest: { type: 'SUPER_ADMIN' },
  }),
  unpermitted: () => client.groupApi.deleteGroup({ groupId: '00g1' }),
});
process.exit();
