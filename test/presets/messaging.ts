import { generateKeyPairSync } from 'node:crypto';
import { verifySlackRequest } from '@slack/bolt/dist/receivers/verify-request.js';
import { verifyKey } from 'discord-interactions';
import * as fc from 'fast-check';
import twilio from 'twilio';
import { base64, hex, isTaken, post, rawPublicKey, seconds, signedBy, spki, URL_OF_RECEIVER } from './proof.ts';
import type { PresetProof } from './proof.ts';

const ed25519 = (): string => generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
const p256 = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' });

/** `v0=…` over `v0:timestamp:body`: Slack's scheme, and Zoom's. */
const versioned =
  (header: string, timestampHeader: string, example: string, contentType: string, others = {}): PresetProof['sign'] =>
  (at, secret, body = example) => {
    const signature = hex(secret, `v0:${seconds(at)}:${body}`);
    return post(signature, body, {
      [header]: `v0=${signature}`,
      [timestampHeader]: seconds(at),
      'content-type': contentType,
      ...others,
    });
  };

const FORM = 'application/x-www-form-urlencoded';

const SLACK_EXAMPLE =
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar' +
  '&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com' +
  '%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.' +
  '803a0bc887a14d10d2c447fce8b6703c';
const SLACK_BODY = '{"type":"event_callback","event":{"type":"app_mention"},"event_id":"Ev08MFMKH6"}';

const TWILIO_BODY = 'CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212';

/** @see https://www.twilio.com/docs/usage/security#validating-requests */
const signTwilio: PresetProof['sign'] = (_at, secret, body = TWILIO_BODY, url = URL_OF_RECEIVER) => {
  const fields = new URLSearchParams(body);
  const names = [...new Set(fields.keys())].sort();
  const text = names.flatMap((name) => [...new Set(fields.getAll(name))].sort().map((value) => name + value)).join('');
  const signature = base64(secret, url + text, 'sha1');
  const headers = { 'x-twilio-signature': signature, 'content-type': FORM, 'i-twilio-idempotency-token': '6b1f' };
  return post(signature, body, headers, url);
};

/** A form's fields as the body parsers of web servers give them to Twilio's library. */
const formFields = (body: string): Record<string, string | string[]> => {
  const fields = new URLSearchParams(body);
  return Object.fromEntries(
    [...new Set(fields.keys())].map((name) => {
      const values = fields.getAll(name);
      return [name, values.length === 1 ? values[0]! : values];
    }),
  );
};

const DISCORD_BODY =
  '{"version":1,"application_id":"1234560123453231555","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}';

const SENDGRID_EXAMPLE =
  '[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",' +
  '"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",' +
  '"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",' +
  '"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n';
const SENDGRID_SIGNATURE =
  'MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=';

export const MESSAGING: Readonly<Record<string, PresetProof>> = {
  slack: {
    secret: '8f742231b10e8888abcd99yyyzzz85a5',
    otherSecret: '9f742231b10e8888abcd99yyyzzz85a5',
    sign: versioned('x-slack-signature', 'x-slack-request-timestamp', SLACK_BODY, 'application/json'),
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-slack-signature', 'x-slack-request-timestamp'],
    library: {
      verifies: (sent, signingSecret) =>
        isTaken(() => {
          verifySlackRequest({
            signingSecret,
            body: sent.body,
            headers: {
              'x-slack-signature': sent.headers['x-slack-signature']!,
              'x-slack-request-timestamp': Number(sent.headers['x-slack-request-timestamp']),
            },
          });
        }),
    },
    documented: [
      {
        source: 'https://docs.slack.dev/authentication/verifying-requests-from-slack',
        at: 1_531_420_618_000,
        secret: '8f742231b10e8888abcd99yyyzzz85a5',
        sent: post('a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503', SLACK_EXAMPLE, {
          'content-type': FORM,
          'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
          'x-slack-request-timestamp': '1531420618',
        }),
      },
    ],
    eventType: 'app_mention',
    idempotencyKey: 'Ev08MFMKH6',
  },

  discord: {
    secret: ed25519(),
    otherSecret: ed25519(),
    config: (secret) => ({ publicKey: rawPublicKey(secret, 32).toString('hex') }),
    sign: (at, secret, body = DISCORD_BODY) => {
      const signature = signedBy(secret, `${seconds(at)}${body}`, null).toString('hex');
      return post(signature, body, { 'x-signature-ed25519': signature, 'x-signature-timestamp': seconds(at) });
    },
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-signature-ed25519', 'x-signature-timestamp'],
    library: {
      verifies: (sent, secret) =>
        verifyKey(
          sent.body,
          sent.headers['x-signature-ed25519']!,
          sent.headers['x-signature-timestamp']!,
          rawPublicKey(secret, 32).toString('hex'),
        ),
    },
    eventType: 'ENTITLEMENT_CREATE',
    idempotencyKey: null,
  },

  // The secret comes as it is: https://core.telegram.org/bots/api#setwebhook
  telegram: {
    secret: 'a_telegram-secret_token',
    otherSecret: 'b_telegram-secret_token',
    sign: (_at, secret, body = '{"update_id":10000,"message":{"text":"/start"}}') =>
      post(secret, body, { 'x-telegram-bot-api-secret-token': secret }),
    windowSeconds: null,
    covers: 'NOTHING',
    needs: ['x-telegram-bot-api-secret-token'],
    eventType: null,
    idempotencyKey: '10000',
  },

  meta: {
    secret: 'a meta app secret',
    otherSecret: 'another meta app secret',
    config: () => ({ verifyToken: 'meatyhamhock' }),
    // Meta escapes what is not ASCII before it signs, and sends it so.
    sign: (
      _at,
      secret,
      body = '{"object":"page","entry":[{"changes":[{"field":"feed","value":"\\u00e4\\u00f6"}]}]}',
    ) => {
      const signature = hex(secret, body);
      return post(signature, body, { 'x-hub-signature-256': `sha256=${signature}` });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-hub-signature-256'],
    eventType: 'feed',
    idempotencyKey: null,
  },

  x: {
    secret: 'an x consumer secret',
    otherSecret: 'another consumer secret',
    sign: (_at, secret, body = '{"for_user_id":"2244994945","tweet_create_events":[]}') => {
      const signature = base64(secret, body);
      return post(signature, body, { 'x-twitter-webhooks-signature': `sha256=${signature}` });
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-twitter-webhooks-signature'],
    eventType: null,
    idempotencyKey: null,
  },

  zoom: {
    secret: 'a zoom secret token',
    otherSecret: 'another zoom secret token',
    sign: versioned('x-zm-signature', 'x-zm-request-timestamp', '{"event":"meeting.started"}', 'application/json', {
      'x-zm-trackingid': 'WEB_c2c5a2f1',
    }),
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-zm-signature', 'x-zm-request-timestamp'],
    eventType: 'meeting.started',
    idempotencyKey: 'WEB_c2c5a2f1',
  },

  twilio: {
    secret: '12345abcde12345abcde12345abcde12',
    otherSecret: '22345abcde12345abcde12345abcde12',
    sign: signTwilio,
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-twilio-signature', 'content-type'],
    library: {
      verifies: (sent, secret) =>
        twilio.validateRequest(secret, sent.headers['x-twilio-signature']!, sent.url, formFields(sent.body)),
      signs: (_at, secret, body) => {
        const signature = twilio.getExpectedTwilioSignature(secret, URL_OF_RECEIVER, formFields(body));
        return post('', body, { 'x-twilio-signature': signature, 'content-type': FORM }, URL_OF_RECEIVER);
      },
      bodies: fc
        .array(fc.tuple(fc.constantFrom('From', 'To', 'Body', 'to', 'Media 1', 'é'), fc.string({ unit: 'grapheme' })))
        .map((fields) => new URLSearchParams(fields).toString()),
    },
    documented: [
      {
        source: 'https://www.twilio.com/docs/usage/security#validating-requests',
        at: 0,
        secret: '12345',
        sent: post(
          '0/KCTR6DLpKmkAf8muzZqo1nDgQ=',
          TWILIO_BODY,
          { 'x-twilio-signature': '0/KCTR6DLpKmkAf8muzZqo1nDgQ=', 'content-type': FORM },
          'https://mycompany.com/myapp.php?foo=1&bar=2',
        ),
      },
    ],
    eventType: null,
    idempotencyKey: '6b1f',
  },

  sendgrid: {
    secret: p256(),
    otherSecret: p256(),
    config: (secret) => ({ publicKey: spki(secret).toString('base64') }),
    sign: (at, secret, body = '[{"email":"jo@example.com","event":"bounce"}]') => {
      const signature = signedBy(secret, `${seconds(at)}${body}`, 'sha256').toString('base64');
      return post(signature, body, {
        'x-twilio-email-event-webhook-signature': signature,
        'x-twilio-email-event-webhook-timestamp': seconds(at),
      });
    },
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-twilio-email-event-webhook-signature', 'x-twilio-email-event-webhook-timestamp'],
    documented: [
      {
        source: 'https://github.com/sendgrid/sendgrid-nodejs/blob/main/packages/eventwebhook/src/eventwebhook.spec.js',
        at: 1_600_112_502_000,
        secret: '',
        config: {
          publicKey:
            'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpigl' +
            'SI8eNEc6wEA3F+g==',
        },
        sent: post(SENDGRID_SIGNATURE, SENDGRID_EXAMPLE, {
          'x-twilio-email-event-webhook-signature': SENDGRID_SIGNATURE,
          'x-twilio-email-event-webhook-timestamp': '1600112502',
        }),
      },
    ],
    eventType: 'bounce',
    idempotencyKey: null,
  },

  mailgun: {
    secret: 'a mailgun webhook signing key',
    otherSecret: 'another webhook signing key',
    sign: (at, secret) => {
      const token = '71a63ee05cd59b3d4a86b37f0a12dbb2a4adc54a8d1ef6a6b5';
      const signature = hex(secret, `${seconds(at)}${token}`);
      const event = { id: 'G9Bn5sl1TC6nu79C8C0bwg', event: 'opened', recipient: 'alice@example.com' };
      return post(
        signature,
        JSON.stringify({ signature: { timestamp: seconds(at), token, signature }, 'event-data': event }),
        {},
      );
    },
    windowSeconds: 300,
    covers: [
      ['71a63ee05c', '71a63ee05d'],
      ['"timestamp":"1', '"timestamp":"2'],
    ],
    needs: [],
    needsInBody: ['timestamp', 'token', '"signature":"'],
    eventType: 'opened',
    idempotencyKey: 'G9Bn5sl1TC6nu79C8C0bwg',
  },

  elevenlabs: {
    secret: 'wsec_an-elevenlabs-secret',
    otherSecret: 'wsec_bn-elevenlabs-secret',
    sign: (at, secret, body = '{"type":"post_call_transcription","event_timestamp":1739537297,"data":{}}') => {
      const signature = hex(secret, `${seconds(at)}.${body}`);
      return post(signature, body, { 'elevenlabs-signature': `t=${seconds(at)},v0=${signature}` });
    },
    windowSeconds: 1_800,
    covers: 'BODY',
    needs: ['elevenlabs-signature'],
    eventType: 'post_call_transcription',
    idempotencyKey: null,
  },
};
