import { Stripe } from 'stripe';
import { base64, hex, isTaken, post, seconds, URL_OF_RECEIVER } from './proof.ts';
import type { PresetProof } from './proof.ts';

const stripe = new Stripe('sk_test_of_nobody');

/** `t=…,v1=…` over `t.body`. */
const stamped =
  (header: string, field: string, example: string): PresetProof['sign'] =>
  (at, secret, body = example) => {
    const signature = hex(secret, `${seconds(at)}.${body}`);
    return post(signature, body, { [header]: `t=${seconds(at)},${field}=${signature}` });
  };

/** A signature of the body in a header of its own. */
const ofBody =
  (
    header: string,
    prefix: string,
    example: string,
    of: (secret: string, body: string) => string,
    others: Readonly<Record<string, string>> = {},
  ): PresetProof['sign'] =>
  (_at, secret, body = example) => {
    const signature = of(secret, body);
    return post(signature, body, { [header]: `${prefix}${signature}`, ...others });
  };

const ADYEN_KEY = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';

/** @see https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/ */
const adyenBody = (signature: string): string =>
  JSON.stringify({
    live: 'false',
    notificationItems: [
      {
        NotificationRequestItem: {
          additionalData: { hmacSignature: signature },
          amount: { value: 1130, currency: 'EUR' },
          pspReference: '7914073381342284',
          eventCode: 'AUTHORISATION',
          eventDate: '2019-05-06T17:15:34.121+02:00',
          merchantAccountCode: 'TestMerchant',
          merchantReference: 'TestPayment-1407325143704',
          paymentMethod: 'visa',
          success: 'true',
        },
      },
    ],
  });

const signAdyen: PresetProof['sign'] = (_at, secret) => {
  const text = '7914073381342284::TestMerchant:TestPayment-1407325143704:1130:EUR:AUTHORISATION:true';
  const signature = base64(Buffer.from(secret, 'hex'), text);
  return post(signature, adyenBody(signature), {});
};

const HUBSPOT_BODY = '[{"eventId":1,"subscriptionType":"contact.creation","objectId":123}]';

/** @see https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests */
const signHubspot: PresetProof['sign'] = (at, secret, body = HUBSPOT_BODY, url = URL_OF_RECEIVER) => {
  const signature = base64(secret, `POST${url}${body}${at}`);
  const headers = { 'x-hubspot-signature-v3': signature, 'x-hubspot-request-timestamp': String(at) };
  return post(signature, body, headers, url);
};

const SQUARE_BODY = '{"merchant_id":"6SSW7HV8K2ST5","type":"customer.created","event_id":"df5f3813"}';
const ZENDESK_BODY = '{"type":"zen:event-type:user.created","id":"cbe4028c","subject":"zen:user:6596848315901"}';

export const BUSINESS: Readonly<Record<string, PresetProof>> = {
  stripe: {
    secret: 'whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH',
    otherSecret: 'whsec_6WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH',
    sign: stamped('stripe-signature', 'v1', '{"id":"evt_1Nx","object":"event","type":"charge.succeeded"}'),
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['stripe-signature'],
    library: {
      verifies: (sent, secret) =>
        isTaken(() => stripe.webhooks.constructEvent(sent.body, sent.headers['stripe-signature']!, secret)),
      signs: (at, secret, body) => {
        const timestamp = Math.floor(at / 1_000);
        const header = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp });
        return post('', body, { 'stripe-signature': header });
      },
    },
    eventType: 'charge.succeeded',
    idempotencyKey: 'evt_1Nx',
  },

  shopify: {
    secret: 'a shopify client secret',
    otherSecret: 'another client secret',
    sign: ofBody('x-shopify-hmac-sha256', '', '{"id":820982911946154508,"email":"jon@example.com"}', base64, {
      'x-shopify-topic': 'orders/create',
      'x-shopify-webhook-id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
      'x-shopify-event-id': '98880550-7158-44d4-b7cd-2c97c8a091b5',
    }),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-shopify-hmac-sha256'],
    eventType: 'orders/create',
    idempotencyKey: 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
  },

  square: {
    secret: 'asdf1234',
    otherSecret: 'asdf1235',
    sign: (_at, secret, body = SQUARE_BODY, url = URL_OF_RECEIVER) => {
      const signature = base64(secret, `${url}${body}`);
      return post(signature, body, { 'x-square-hmacsha256-signature': signature }, url);
    },
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-square-hmacsha256-signature'],
    documented: [
      {
        source: 'https://developer.squareup.com/docs/webhooks/step3validate',
        at: 0,
        secret: 'asdf1234',
        sent: post(
          '2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=',
          '{"hello":"world"}',
          { 'x-square-hmacsha256-signature': '2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=' },
          'https://example.com/webhook',
        ),
      },
    ],
    eventType: 'customer.created',
    idempotencyKey: 'df5f3813',
  },

  adyen: {
    secret: ADYEN_KEY,
    otherSecret: ADYEN_KEY.replace('4478', '4479'),
    sign: signAdyen,
    windowSeconds: null,
    covers: [
      ['"value":1130', '"value":1131'],
      ['"EUR"', '"USD"'],
      ['7914073381342284', '7914073381342285'],
      ['AUTHORISATION', 'REFUND'],
      ['TestMerchant', 'OtherMerchant'],
      ['TestPayment-', 'OtherPayment-'],
      ['"success":"true"', '"success":"false"'],
      ['"success":"true"', '"success":"true","originalReference":"8515"'],
      // Beside the item that is signed, another one that isn't.
      ['"notificationItems":[', '"notificationItems":[{"NotificationRequestItem":{"eventCode":"REFUND"}},'],
      ['"success":"true"}}]', '"success":"true"}},{"NotificationRequestItem":{"eventCode":"REFUND"}}]'],
    ],
    needs: [],
    needsInBody: ['hmacSignature', 'additionalData', 'notificationItems'],
    documented: [
      {
        source: 'https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures/',
        at: 0,
        secret: ADYEN_KEY,
        sent: post(
          'coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=',
          adyenBody('coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0='),
          {},
        ),
      },
    ],
    eventType: 'AUTHORISATION',
    idempotencyKey: 'coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=',
  },

  docusign: {
    secret: 'a docusign connect key',
    otherSecret: 'another connect key',
    sign: ofBody('x-docusign-signature-1', '', '{"event":"envelope-completed","apiVersion":"v2.1"}', base64),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-docusign-signature-1'],
    eventType: 'envelope-completed',
    idempotencyKey: null,
  },

  hubspot: {
    secret: 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
    otherSecret: 'zyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
    sign: signHubspot,
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-hubspot-signature-v3', 'x-hubspot-request-timestamp'],
    documented: [
      {
        source: 'https://github.com/HubSpot/hubspot-api-python/blob/master/tests/spec/utils/test_signature.py',
        at: 1_693_657_560_000,
        secret: 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
        sent: post(
          'K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=',
          "{'example_field':'example_value'}",
          {
            'x-hubspot-signature-v3': 'K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=',
            'x-hubspot-request-timestamp': '1693657560000',
          },
          'https://www.example.com/webhook_uri',
        ),
      },
    ],
    eventType: 'contact.creation',
    idempotencyKey: null,
  },

  // https://developer.zendesk.com/documentation/webhooks/verifying/
  zendesk: {
    secret: 'dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==',
    otherSecret: 'dGhpc19zZWNyZXRfaXNfbm90X2Zvcl90ZXN0aW5nCg==',
    sign: (at, secret, body = ZENDESK_BODY) => {
      const timestamp = new Date(at).toISOString().replace('.000Z', 'Z');
      const signature = base64(secret, `${timestamp}${body}`);
      return post(signature, body, {
        'x-zendesk-webhook-signature': signature,
        'x-zendesk-webhook-signature-timestamp': timestamp,
        'x-zendesk-webhook-invocation-id': '8350205582',
      });
    },
    windowSeconds: 300,
    covers: 'BODY',
    needs: ['x-zendesk-webhook-signature', 'x-zendesk-webhook-signature-timestamp'],
    eventType: 'zen:event-type:user.created',
    idempotencyKey: '8350205582',
  },

  intercom: {
    secret: 'an intercom client secret',
    otherSecret: 'another client secret',
    sign: ofBody(
      'x-hub-signature',
      'sha1=',
      '{"type":"notification_event","topic":"conversation.user.created","id":"notif_ccd8a4d0"}',
      (secret, body) => hex(secret, body, 'sha1'),
    ),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-hub-signature'],
    eventType: 'conversation.user.created',
    idempotencyKey: 'notif_ccd8a4d0',
  },

  typeform: {
    secret: 'a typeform secret',
    otherSecret: 'another typeform secret',
    sign: ofBody('typeform-signature', 'sha256=', '{"event_id":"LtWXD3crgy","event_type":"form_response"}', base64),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['typeform-signature'],
    eventType: 'form_response',
    idempotencyKey: 'LtWXD3crgy',
  },

  calendly: {
    secret: 'a calendly signing key',
    otherSecret: 'another signing key',
    sign: stamped('calendly-webhook-signature', 'v1', '{"event":"invitee.created","created_at":"2020-11-23"}'),
    windowSeconds: 180,
    covers: 'BODY',
    needs: ['calendly-webhook-signature'],
    eventType: 'invitee.created',
    idempotencyKey: null,
  },

  notion: {
    secret: 'secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl',
    otherSecret: 'secret_uMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl',
    sign: ofBody('x-notion-signature', 'sha256=', '{"id":"367cba44","type":"page.created"}', hex),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-notion-signature'],
    eventType: 'page.created',
    idempotencyKey: '367cba44',
  },

  dropbox: {
    secret: 'a dropbox app secret',
    otherSecret: 'another app secret',
    sign: ofBody('x-dropbox-signature', '', '{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb"]}}', hex),
    windowSeconds: null,
    covers: 'BODY',
    needs: ['x-dropbox-signature'],
    eventType: null,
    idempotencyKey: null,
  },

  // The secret comes as it is, in every notification of the body.
  'microsoft-graph': {
    secret: 'secretClientValue',
    otherSecret: 'otherClientValue',
    sign: (_at, secret) =>
      post(
        secret,
        JSON.stringify({
          value: [
            { subscriptionId: 'a3b1', clientState: secret, changeType: 'created', resource: 'users/1/messages/2' },
            { subscriptionId: 'a3b1', clientState: secret, changeType: 'updated', resource: 'users/1/messages/3' },
          ],
        }),
        {},
      ),
    windowSeconds: null,
    covers: [
      ['"clientState":"secretClientValue","changeType":"updated"', '"clientState":"x","changeType":"updated"'],
      ['"clientState":"secretClientValue","changeType":"updated"', '"changeType":"updated"'],
      ['"clientState":"secretClientValue","changeType":"updated"', '"clientState":null,"changeType":"updated"'],
      ['{"value":[', '{"value":[{},'],
    ],
    needs: [],
    needsInBody: ['clientState', 'value'],
    eventType: 'created',
    idempotencyKey: null,
  },
};
