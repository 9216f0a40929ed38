import * as fc from 'fast-check';
import jsonata from 'jsonata';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findPreset, PRESETS } from '../src/domain/inbound/presets/presets.ts';
import type { ValueSource } from '../src/domain/inbound/presets/presetRow.ts';
import { parseAuth } from '../src/domain/inbound/verification/auth.ts';
import { parseBody } from '../src/domain/inbound/verification/body.ts';
import type { InboundRequest } from '../src/domain/inbound/verification/request.ts';
import { checkSecret, hashSecret, secretForm } from '../src/domain/inbound/verification/secretForm.ts';
import type { Verification } from '../src/domain/inbound/verification/verification.ts';
import { compileVerifier } from '../src/domain/inbound/verification/verifier.ts';
import { inboundRequest } from './harness/inboundRequest.ts';
import { PROOFS } from './presets/proofs.ts';
import type { PresetProof, Sent, Signed } from './presets/proof.ts';

/** The senders that were promised. */
const PROMISED = (
  'github gitlab stripe slack shopify linear standard-webhooks svix twilio discord zoom square sentry pagerduty typeform ' +
  'calendly intercom zendesk docusign notion jira vercel sendgrid hubspot mailgun adyen meta telegram x microsoft-graph ' +
  'dropbox alga generic-hmac elevenlabs'
).split(' ');

/** As sent, with other bytes as body. */
type Received = Omit<Sent, 'body'> & { readonly body: Buffer };

const AT = 1_800_000_000_000;

const settingsOf = (name: string, config: Readonly<Record<string, unknown>> | undefined) =>
  parseAuth({ preset: name, config }, null).settings;

/** Judges as the receiver does, for the webhook of this preset with this secret. */
const judge = (name: string, proof: PresetProof, secret: string, sent: Sent | Received): Verification => {
  const settings = settingsOf(name, proof.config?.(secret));
  return verifierWith(settings, secret).verify(requestOf(sent, AT));
};

const verifierWith = (settings: ReturnType<typeof settingsOf>, secret: string) => {
  const form = secretForm(settings.type);
  return compileVerifier(settings, {
    keys: form === 'key' ? [secret] : [],
    hashes: form === 'hash' ? [hashSecret(secret)] : [],
    verifyToken: null,
  });
};

const requestOf = (sent: Sent | Received, receivedAt: number): InboundRequest =>
  inboundRequest({ ...sent, receivedAt });

const refusal = { valid: false, authStatus: expect.stringMatching(/^REJECTED_/) as string };
const isTokenOnly = (name: string): boolean => findPreset(name)!.type === 'API_KEY';

/** These bytes, once for each with one bit of that one changed. */
const changedBytes = (bytes: Buffer): readonly Buffer[] =>
  [...bytes].map((byte, index) => Buffer.from(bytes.with(index, byte ^ 1)));

const resigned = (sent: Signed, signature: string): Sent => ({
  ...sent,
  headers: Object.fromEntries(
    Object.entries(sent.headers).map(([name, value]) => [name, value.replace(sent.signature, () => signature)]),
  ),
  body: sent.body.replaceAll(sent.signature, () => signature),
});

/** Every signature that differs from this one in one byte; of a credential, in one character. */
const changedSignatures = (name: string, { signature }: Signed): readonly string[] => {
  const encoding = isTokenOnly(name) ? 'latin1' : /^[0-9a-f]+$/.test(signature) ? 'hex' : 'base64';
  return changedBytes(Buffer.from(signature, encoding)).map((bytes) => bytes.toString(encoding));
};

const without = (sent: Sent, header: string): Sent => {
  const { [header]: _, ...headers } = sent.headers;
  return { ...sent, headers };
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: AT });
});
afterEach(() => {
  vi.useRealTimers();
});

it('every promised sender has a preset, and every preset is proven here', () => {
  expect(PRESETS.map(({ name }) => name)).toEqual([...PROMISED].sort());
  expect(Object.keys(PROOFS).sort()).toEqual([...PROMISED].sort());
});

it('presets say where their senders document them, and which handshake they have', () => {
  for (const row of PRESETS) {
    expect(new URL(row.docsUrl).protocol).toBe('https:');
    expect(row.handshake).toBe(row.config['handshake'] ?? null);
    expect(row.secretFrom === 'NONE').toBe(secretForm(row.type) === 'none');
  }
});

describe.each(Object.entries(PROOFS))('%s', (name, proof) => {
  const { secret, otherSecret } = proof;
  const row = findPreset(name)!;
  const genuine = proof.sign(AT, secret);

  it('takes what its sender signs', () => {
    expect(judge(name, proof, secret, genuine)).toEqual({ valid: true, authStatus: 'VERIFIED', reason: null });
  });

  it.for(proof.documented ?? [])('takes the example of $source', ({ at, config, secret: theirs, sent }) => {
    const settings = settingsOf(name, config ?? proof.config?.(theirs));
    const verifier = verifierWith(settings, theirs);
    expect(verifier.verify(requestOf(sent, at))).toMatchObject({ valid: true });
    expect(verifier.verify(requestOf({ ...sent, body: `${sent.body}!` }, at))).toMatchObject(refusal);
  });

  if (proof.library) {
    it("judges as the sender's own library does", async () => {
      const { verifies, bodies = fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value)) } =
        proof.library!;
      const window = proof.windowSeconds ?? 60;
      const ages = fc.oneof(fc.integer({ min: 1 - window, max: window - 1 }), fc.integer({ min: -4_000, max: 4_000 }));
      let taken = 0;
      await fc.assert(
        fc.asyncProperty(
          bodies,
          ages,
          fc.constantFrom('genuine', 'genuine', 'body', 'secret'),
          async (body, age, kind) => {
            const signed = proof.sign(AT - age * 1_000, secret, body);
            const sent = kind === 'body' ? { ...signed, body: `${signed.body} ` } : signed;
            const used = kind === 'secret' ? otherSecret : secret;
            const ours = judge(name, proof, used, sent).valid;
            const theirs = await verifies(sent, used);
            // Some libraries check no time, or none that lies ahead: what is taken here they take, not the other way.
            if (ours) expect(theirs).toBe(true);
            if (Math.abs(age) < window) expect(theirs).toBe(ours);
            if (kind !== 'genuine') expect(ours).toBe(false);
            if (ours) taken += 1;
          },
        ),
      );
      expect(taken).toBeGreaterThan(3);
    });
  }

  if (proof.library?.signs) {
    it("takes what the sender's own library signs", async () => {
      const { signs, bodies = fc.jsonValue().map((value) => JSON.stringify(value)) } = proof.library!;
      await fc.assert(
        fc.asyncProperty(bodies, async (body) => {
          expect(judge(name, proof, secret, await signs!(AT, secret, body))).toMatchObject({ valid: true });
        }),
      );
    });
  }

  it('refuses what is signed with another secret', () => {
    const verdict = judge(name, proof, secret, proof.sign(AT, otherSecret));
    expect(verdict).toMatchObject({
      valid: false,
      authStatus: isTokenOnly(name) ? 'REJECTED_TOKEN' : 'REJECTED_SIGNATURE',
    });
    expect(judge(name, proof, otherSecret, genuine)).toMatchObject(refusal);
  });

  if (proof.covers !== 'NOTHING') {
    it('refuses a body of which anything is changed', () => {
      const { body } = genuine;
      const bodies =
        proof.covers === 'BODY'
          ? [...changedBytes(Buffer.from(body)), ...[`${body}x`, body.slice(1), ''].map((text) => Buffer.from(text))]
          : (proof.covers as readonly (readonly [string, string])[]).map(([from, to]) => {
              expect(body).toContain(from);
              return Buffer.from(body.replace(from, () => to));
            });
      for (const changed of bodies) {
        expect(judge(name, proof, secret, { ...genuine, body: changed }), String(changed)).toMatchObject(refusal);
      }
    });
  }

  it('refuses a signature of which a byte is changed', () => {
    for (const signature of changedSignatures(name, genuine)) {
      expect(judge(name, proof, secret, resigned(genuine, signature)), signature).toMatchObject(refusal);
    }
  });

  if (proof.windowSeconds !== null) {
    it('refuses what was signed too long ago, or too far ahead', () => {
      const window = proof.windowSeconds!;
      const signedAt = (offset: number): Sent => proof.sign(AT + offset * 1_000, secret);
      for (const offset of [-window, 1 - window, window - 1, window]) {
        expect(judge(name, proof, secret, signedAt(offset)), String(offset)).toMatchObject({ valid: true });
      }
      for (const offset of [-86_400 * 365, -window - 1, window + 1, 86_400 * 365]) {
        expect(judge(name, proof, secret, signedAt(offset)), String(offset)).toMatchObject({
          valid: false,
          authStatus: 'REJECTED_TIMESTAMP',
        });
      }
    });
  }

  if (proof.windowSeconds === null) {
    it('has no window, because its sender signs no time', () => {
      expect(settingsOf(name, proof.config?.(secret)).config).not.toHaveProperty('timestamp');
      expect(judge(name, proof, secret, proof.sign(AT - 1e12, secret))).toMatchObject({ valid: true });
    });
  }

  it('refuses a request that lacks a part of the proof', () => {
    const lacking = [
      ...proof.needs.map((header) => without(genuine, header)),
      ...(proof.needsInBody ?? []).map((key) => ({ ...genuine, body: genuine.body.replaceAll(key, () => 'gone') })),
    ];
    expect(lacking.length).toBeGreaterThan(0);
    for (const sent of lacking) expect(judge(name, proof, secret, sent)).toMatchObject(refusal);
    const bare = { ...genuine, headers: { 'content-type': 'application/json' }, body: '{}' };
    expect(judge(name, proof, secret, bare)).toMatchObject({ valid: false, authStatus: 'REJECTED_NO_AUTH' });
  });

  it('refuses malformed headers', () => {
    for (const header of proof.needs) {
      const value = genuine.headers[header]!;
      const others = ['', ' ', 'x', '=', ',', ',,', 'v1', 'v1=', 't=', `t=1,${value}=`, 'undefined', '[object Object]'];
      const renamed = changedBytes(Buffer.from(value))[0]!.toString();
      const broken = [
        renamed,
        `"${value}"`,
        `x${value}`,
        `${value}x`,
        value.slice(1),
        value.slice(0, -4),
        `${value}\0`,
        '💥',
      ];
      for (const malformed of [...others, ...broken, 'a'.repeat(16_384), ','.repeat(16_384), 'v1=00,'.repeat(2_000)]) {
        const sent = { ...genuine, headers: { ...genuine.headers, [header]: malformed } };
        expect(judge(name, proof, secret, sent), malformed.slice(0, 80)).toMatchObject(refusal);
      }
    }
    for (const signature of ['', 'x', '{}', '💥', 'a'.repeat(16_384)]) {
      expect(judge(name, proof, secret, resigned(genuine, signature)), signature).toMatchObject(refusal);
    }
  });

  it('has no empty secret', () => {
    if (row.type === 'ASYMMETRIC') {
      expect(() => settingsOf(name, { publicKey: '' })).toThrow(
        expect.objectContaining({ path: ['input', 'auth', 'config', 'publicKey'] }),
      );
      return;
    }
    const settings = settingsOf(name, proof.config?.(secret));
    expect(() => checkSecret(settings, '')).toThrow(expect.objectContaining({ path: ['input', 'auth', 'secret'] }));
    // Even if one were stored, it would verify nothing.
    expect(verifierWith(settings, '').verify(requestOf(proof.sign(AT, ''), AT))).toMatchObject(refusal);
    expect(checkSecret(settings, secret)).toBe(secret);
  });

  it('finds the event type and the idempotency key', async () => {
    const read = async (source: ValueSource | null): Promise<string | null> => {
      if (source === null) return null;
      if (source.type === 'HEADER') return genuine.headers[source.value.toLowerCase()] ?? null;
      const body = parseBody(genuine.headers['content-type'] ?? null, Buffer.from(genuine.body));
      const value: unknown = body.ok ? await jsonata(source.value).evaluate(body.value) : undefined;
      return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
    };
    expect(await read(row.eventTypeSource)).toBe(proof.eventType);
    expect(await read(row.idempotencySource)).toBe(proof.idempotencyKey);
  });
});
