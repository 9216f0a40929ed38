import { sign as octokitSign, verify as octokitVerify } from '@octokit/webhooks-methods';
import { LinearWebhookClient } from '@linear/sdk/webhooks';
import { hex, isTaken, post } from './proof.ts';
import type { PresetProof } from './proof.ts';

const GITHUB_BODY = '{"action":"opened","issue":{"number":7,"title":"Grüße 💡"}}';
const GITLAB_BODY = '{"object_kind":"push","ref":"refs/heads/main"}';
const JIRA_BODY = '{"timestamp":1525698237764,"webhookEvent":"jira:issue_created","issue":{"id":"99291"}}';
const SENTRY_BODY = '{"action":"created","data":{"issue":{"id":"1170820242"}},"installation":{"uuid":"a8e5d37a"}}';
const PAGERDUTY_BODY = '{"event":{"id":"5ac64822-4adc-4fda-ade0-410becf0de4f","event_type":"incident.triggered"}}';
const VERCEL_BODY = '{"id":"uev_1","type":"deployment.created","createdAt":1700000000000,"payload":{}}';

/** The example of PagerDuty's own Go library. */
const PAGERDUTY_EXAMPLE =
  '{"event":{"id":"01BWDWL3NYY7LUFPZCC28QUCMK","event_type":"incident.priority_updated","resource_type":"incident",' +
  '"occurred_at":"2021-04-26T17:36:27.458Z","agent":{"html_url":"https://acme.pagerduty.com/users/PLH1HKV",' +
  '"id":"PLH1HKV","self":"https://api.pagerduty.com/users/PLH1HKV","summary":"Tenex Engineer",' +
  '"type":"user_reference"},"client":null,"data":{"id":"PGR0VU2","type":"incident",' +
  '"self":"https://api.pagerduty.com/incidents/PGR0VU2","html_url":"https://acme.pagerduty.com/incidents/PGR0VU2",' +
  '"number":2,"status":"triggered","title":"A little bump in the road","service":{' +
  '"html_url":"https://acme.pagerduty.com/services/PF9KMXH","id":"PF9KMXH",' +
  '"self":"https://api.pagerduty.com/services/PF9KMXH","summary":"API Service","type":"service_reference"},' +
  '"assignees":[{"html_url":"https://acme.pagerduty.com/users/PTUXL6G","id":"PTUXL6G",' +
  '"self":"https://api.pagerduty.com/users/PTUXL6G","summary":"User 123","type":"user_reference"}],' +
  '"escalation_policy":{"html_url":"https://acme.pagerduty.com/escalation_policies/PUS0KTE","id":"PUS0KTE",' +
  '"self":"https://api.pagerduty.com/escalation_policies/PUS0KTE","summary":"Default",' +
  '"type":"escalation_policy_reference"},"teams":[{"html_url":"https://acme.pagerduty.com/teams/PFCVPS0",' +
  '"id":"PFCVPS0","self":"https://api.pagerduty.com/teams/PFCVPS0","summary":"Engineering",' +
  '"type":"team_reference"}],"priority":{"html_url":"https://acme.pagerduty.com/account/incident_priorities",' +
  '"id":"PSO75BM","self":"https://api.pagerduty.com/priorities/PSO75BM","summary":"P1",' +
  '"type":"priority_reference"},"urgency":"high","conference_bridge":{"conference_number":1000,' +
  '"conference_url":"https://example.com"},"resolve_reason":null}}}';

const signGithub: PresetProof['sign'] = (_at, secret, body = GITHUB_BODY) => {
  const signature = hex(secret, body);
  return post(signature, body, {
    'x-hub-signature-256': `sha256=${signature}`,
    'x-github-event': 'issues',
    'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
  });
};

export const DEVELOPER_TOOLS: Readonly<Record<string, PresetProof>> = {
  github: {
    secret: "It's a Secret to Everybody",
    otherSecret: "It's a Secret to Nobody",
    sign: signGithub,
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-hub-signature-256'],
    library: {
      verifies: (sent, secret) => octokitVerify(secret, sent.body, sent.headers['x-hub-signature-256']!),
      signs: async (at, secret, body) => ({
        ...signGithub(at, secret, body),
        headers: { 'x-hub-signature-256': await octokitSign(secret, body) },
      }),
    },
    documented: [
      {
        source: 'https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries',
        at: 0,
        secret: "It's a Secret to Everybody",
        sent: post('757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17', 'Hello, World!', {
          'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
        }),
      },
    ],
    eventType: 'issues',
    idempotencyKey: '72d3162e-cc78-11e3-81ab-4c9367dc0958',
  },

  // The secret comes as it is: https://docs.gitlab.com/user/project/integrations/webhooks/
  gitlab: {
    secret: 'a gitlab secret token',
    otherSecret: 'another secret token',
    sign: (_at, secret, body = GITLAB_BODY) =>
      post(secret, body, {
        'x-gitlab-token': secret,
        'x-gitlab-event': 'Push Hook',
        'idempotency-key': 'f5e5f430-f57b-4e6e-9fac-d9128cd7232f',
      }),
    windowSeconds: null,
    covers: 'NOTHING',
    needs: ['x-gitlab-token'],
    eventType: 'Push Hook',
    idempotencyKey: 'f5e5f430-f57b-4e6e-9fac-d9128cd7232f',
  },

  linear: {
    secret: 'lin_wh_kHfHHxKEdpv8xFfJ',
    otherSecret: 'lin_wh_anotherEdpv8xFfJ',
    sign: (at, secret, body = '{"action":"create","type":"Issue","data":{"id":"2174add1"}}') => {
      const dated = JSON.stringify({ ...(JSON.parse(body) as object), webhookTimestamp: at });
      const signature = hex(secret, dated);
      return post(signature, dated, {
        'linear-signature': signature,
        'linear-delivery': '234d1a4e-b617-4388-90fe-adc3633d6b72',
        'linear-event': 'Issue',
      });
    },
    windowSeconds: 60,
    covers: 'BODY',
    needs: ['linear-signature'],
    needsInBody: ['webhookTimestamp'],
    library: {
      verifies: (sent, secret) =>
        isTaken(() =>
          new LinearWebhookClient(secret).verify(Buffer.from(sent.body), sent.headers['linear-signature']!),
        ),
    },
    eventType: 'Issue',
    idempotencyKey: '234d1a4e-b617-4388-90fe-adc3633d6b72',
  },

  jira: {
    secret: 'a jira webhook secret',
    otherSecret: 'another jira secret',
    sign: (_at, secret, body = JIRA_BODY) => {
      const signature = hex(secret, body);
      return post(signature, body, {
        'x-hub-signature': `sha256=${signature}`,
        'x-atlassian-webhook-identifier': '5d1b9f8e-1',
      });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-hub-signature'],
    documented: [
      {
        source: 'https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks',
        at: 0,
        secret: "It's a Secret to Everybody",
        sent: post('a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9', 'Hello World!', {
          'x-hub-signature': 'sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9',
        }),
      },
    ],
    eventType: 'jira:issue_created',
    idempotencyKey: '5d1b9f8e-1',
  },

  sentry: {
    secret: 'a sentry client secret',
    otherSecret: 'another client secret',
    sign: (_at, secret, body = SENTRY_BODY) => {
      const signature = hex(secret, body);
      return post(signature, body, {
        'sentry-hook-signature': signature,
        'sentry-hook-resource': 'issue',
        'request-id': '6eeb1ca6',
      });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['sentry-hook-signature'],
    eventType: 'issue',
    idempotencyKey: '6eeb1ca6',
  },

  pagerduty: {
    secret: 'lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK',
    otherSecret: 'mDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK',
    sign: (_at, secret, body = PAGERDUTY_BODY) => {
      const signature = hex(secret, body);
      return post(signature, body, { 'x-pagerduty-signature': `v1=${signature}` });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-pagerduty-signature'],
    documented: [
      {
        source: 'https://github.com/PagerDuty/go-pagerduty/blob/main/webhookv3/webhookv3_test.go',
        at: 0,
        secret: 'lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK',
        sent: post('0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd', PAGERDUTY_EXAMPLE, {
          'x-pagerduty-signature': 'v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd',
        }),
      },
    ],
    eventType: 'incident.triggered',
    idempotencyKey: '5ac64822-4adc-4fda-ade0-410becf0de4f',
  },

  vercel: {
    secret: 'a vercel webhook secret',
    otherSecret: 'another vercel secret',
    sign: (_at, secret, body = VERCEL_BODY) => {
      const signature = hex(secret, body, 'sha1');
      return post(signature, body, { 'x-vercel-signature': signature });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-vercel-signature'],
    eventType: 'deployment.created',
    idempotencyKey: 'uev_1',
  },
};
