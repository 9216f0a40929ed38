import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { base64, hex, isTaken, post, seconds } from './proof.ts';
import type { PresetProof, Signed } from './proof.ts';

const BODY = '{"type":"contact.created","timestamp":"2022-11-03T20:26:10Z","data":{"id":"1f81eb52"}}';
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = 'whsec_NfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/** @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
const standard =
  (prefix: string): PresetProof['sign'] =>
  (at, secret, body = BODY) => {
    const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    const signature = base64(key, `${id}.${seconds(at)}.${body}`);
    return post(signature, body, {
      [`${prefix}id`]: id,
      [`${prefix}timestamp`]: seconds(at),
      [`${prefix}signature`]: `v1,${signature}`,
    });
  };

/** The example of the specification's libraries, and of Svix's documentation. */
const example = (prefix: string, source: string) => ({
  source,
  at: 1_614_265_330_000,
  secret: SECRET,
  sent: {
    ...post('g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', '{"test": 2432232314}', {
      [`${prefix}id`]: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      [`${prefix}timestamp`]: '1614265330',
      [`${prefix}signature`]: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    }),
  },
});

const signsWith =
  (webhook: typeof StandardWebhook | typeof SvixWebhook, prefix: string) =>
  (at: number, secret: string, body: string) => {
    const id = 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W';
    return post('', body, {
      [`${prefix}id`]: id,
      [`${prefix}timestamp`]: seconds(at),
      [`${prefix}signature`]: new webhook(secret).sign(id, new Date(at), body),
    });
  };

const alga: PresetProof['sign'] = (at, secret, body = '{"event_id":"evt_1","event_type":"ticket.created"}') => {
  const signature = hex(secret, `${seconds(at)}.${body}`);
  return post(signature, body, {
    'x-alga-signature': `t=${seconds(at)},v1=${signature}`,
    'x-alga-event-id': 'evt_1',
    'x-alga-event-type': 'ticket.created',
  });
};

export const GENERIC: Readonly<Record<string, PresetProof>> = {
  'standard-webhooks': {
    secret: SECRET,
    otherSecret: OTHER,
    sign: standard('webhook-'),
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
    library: {
      verifies: (sent, secret) =>
        isTaken(() => void new StandardWebhook(secret).verify(sent.body, { ...sent.headers })),
      signs: signsWith(StandardWebhook, 'webhook-'),
    },
    documented: [
      example(
        'webhook-',
        'https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/javascript/src/index.test.ts',
      ),
    ],
    eventType: 'contact.created',
    idempotencyKey: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  },

  svix: {
    secret: SECRET,
    otherSecret: OTHER,
    sign: standard('svix-'),
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['svix-id', 'svix-timestamp', 'svix-signature'],
    library: {
      verifies: (sent, secret) => isTaken(() => new SvixWebhook(secret).verify(sent.body, { ...sent.headers })),
      signs: signsWith(SvixWebhook, 'svix-'),
    },
    documented: [example('svix-', 'https://docs.svix.com/receiving/verifying-payloads/how-manual')],
    eventType: 'contact.created',
    idempotencyKey: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  },

  alga: {
    secret: '8mMxQYy0Jn3bqKdnHdU2cC6k1s1JbbXo1sK0ZkzGv3E',
    otherSecret: '9mMxQYy0Jn3bqKdnHdU2cC6k1s1JbbXo1sK0ZkzGv3E',
    sign: alga,
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-alga-signature'],
    documented: [
      {
        source: "AlgaPSA's own test of its signatures (its golden vector)",
        at: 1_700_000_000_000,
        secret: 'shh',
        sent: post('be310eac0f84daf469d630347a950258de768b365563ab68f29f2f783473d547', '{"a":1}', {
          'x-alga-signature': 't=1700000000,v1=be310eac0f84daf469d630347a950258de768b365563ab68f29f2f783473d547',
        }),
      },
    ],
    eventType: 'ticket.created',
    idempotencyKey: 'evt_1',
  },

  'generic-hmac': {
    secret: 'Jefe and something more',
    otherSecret: 'Jefe and something else',
    config: () => ({ header: 'X-Signature' }),
    sign: (_at, secret, body = '{"anything":true}'): Signed => {
      const signature = hex(secret, body);
      return post(signature, body, { 'x-signature': signature });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-signature'],
    documented: [
      {
        source: 'RFC 4231, 4.3: https://www.rfc-editor.org/rfc/rfc4231#section-4.3',
        at: 0,
        secret: 'Jefe',
        sent: post('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843', 'what do ya want for nothing?', {
          'x-signature': '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
        }),
      },
    ],
    eventType: null,
    idempotencyKey: null,
  },
};
