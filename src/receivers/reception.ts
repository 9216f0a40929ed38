import { storable, withoutCredentials } from '../domain/inbound/credentials.ts';
import { isTooDeep } from '../domain/inbound/depth.ts';
import type { InboundReceiver, ReceiverAddress, ReceiverDirectory } from '../domain/inbound/directory.ts';
import { Limiter } from '../domain/inbound/limiter.ts';
import type { NewReceipt, Receipts } from '../domain/inbound/receipts.ts';
import { isLetThrough, readValues } from '../domain/inbound/requestValues.ts';
import type { RefusalCause, Tally } from '../domain/inbound/tally.ts';
import { isForm } from '../domain/inbound/verification/body.ts';
import type { HandshakeAnswer } from '../domain/inbound/verification/handshake.ts';
import { bodyOf, headerOf } from '../domain/inbound/verification/request.ts';
import type { InboundRequest } from '../domain/inbound/verification/request.ts';
import type { AuthStatus } from '../domain/inbound/verification/verification.ts';
import { dummyVerifier } from '../domain/inbound/verification/verifier.ts';
import { newId } from '../platform/ids.ts';
import type { Logger } from '../platform/logs.ts';
import type { Sandbox } from '../platform/sandbox/sandbox.ts';
import * as answers from './answer.ts';
import type { Answer } from './answer.ts';

/** How a request was answered, for the metrics. */
export type ReceptionOutcome =
  | 'accepted'
  | 'duplicate'
  | 'ignored'
  | 'handshake'
  | 'unknown'
  | 'unavailable'
  | RefusalCause;

export interface Received {
  readonly answer: Answer;
  readonly outcome: ReceptionOutcome;
  /** What is left to do once the sender has its answer, so that its time tells nothing. */
  readonly afterwards?: () => void;
}

/** Why a request is answered before its body is read. */
export type UnreadCause = Extract<RefusalCause, 'too_large' | 'unsupported' | 'method'>;

export interface ReceptionOptions {
  readonly directory: ReceiverDirectory;
  readonly receipts: Receipts;
  readonly tally: Tally;
  readonly sandbox: Pick<Sandbox, 'evaluateAll'>;
  /** Lower-case name of the header that counts how often something passed through hookgraph. */
  readonly hopsHeader: string;
  readonly log: Logger;
}

/** As often may a request have passed through hookgraph; then it is going round in circles. */
const MOST_HOPS = 5;
const HIGHEST_HOPS = 32_767;
/** Webhooks whose rates are watched at once by this process. */
const WATCHED = 50_000;
/** Looks at a webhook that changes all the time; then its sender is to try again. */
const LOOKS = 3;
/** Look-ups for requests that have their answer. */
const MOST_COUNTING = 100;

/**
 * What becomes of a request to a receiver: look-up, verification, rate limit, reading, commit, in this order, so that whoever
 * can't prove to be the sender learns nothing, and whoever gets its 200 is kept. Refusals are counted and told to
 * the webhook's owner. Rejects with what the database
 * says, and with SandboxUnavailableError.
 */
export class Reception {
  readonly #options: ReceptionOptions;
  readonly #rates = new Limiter(WATCHED);
  readonly #counting = new Set<Promise<void>>();

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  /** @param elapsedMs how long the answer has taken so far */
  async receive(address: ReceiverAddress | null, request: InboundRequest, elapsedMs: () => number): Promise<Received> {
    const { directory } = this.#options;
    let hasPlace = false;
    for (let look = 1; ; look++) {
      const receiver = address && (await directory.find(address));
      const judged = this.#judge(receiver, request, elapsedMs);
      if (!isVerified(judged)) {
        const isOutdated =
          REFUSED.has(judged.outcome) && address !== null && !(await directory.isCurrent(address, receiver));
        if (!isOutdated) return judged;
        if (look < LOOKS) continue;
        return UNDECIDED;
      }
      if (!hasPlace) {
        const perMinute = judged.receiver.rateLimitPerMinute;
        const waitMs = this.#rates.take(judged.receiver.id, { burst: perMinute, perMinute }, request.receivedAt);
        if (waitMs > 0) return judged.refuse('rate_limited', answers.rateLimited(waitMs));
        hasPlace = true;
      }
      const { verifier } = judged.receiver;
      const handshake = verifier.handshakeBeforeVerify ? null : verifier.handshake(request);
      if (handshake) return this.#shakeHands(judged.receiver, request, handshake, 'VERIFIED', elapsedMs);
      const body = readableBody(request);
      if (!body) return judged.refuse('invalid_body', answers.INVALID_JSON);
      const received = await this.#keep(judged.receiver, request, body.value, elapsedMs);
      if (received) return received;
      // The webhook is another by now: by its present settings this may be nobody's.
      directory.forget();
      if (look === LOOKS) return UNDECIDED;
    }
  }

  /** Whose request it is; or how it is answered because it is nobody's, or a handshake that needs no signature. */
  #judge(receiver: InboundReceiver | null, request: InboundRequest, elapsedMs: () => number): Verified | Received {
    const isGet = request.method === 'GET';
    if (!receiver) {
      dummyVerifier.verify(request);
      return isGet ? METHOD_NOT_ALLOWED : UNKNOWN;
    }
    const { verifier } = receiver;
    const refuse = (cause: RefusalCause, answer: Answer, authStatus: AuthStatus): Received => ({
      answer,
      outcome: cause,
      afterwards: () => this.#refused(receiver, request, cause, answer.status, authStatus, elapsedMs()),
    });
    // GET is for handshakes alone: everything else is answered as if there were none.
    if (isGet && (receiver.status !== 'ACTIVE' || !verifier.handshakeByGet)) {
      dummyVerifier.verify(request);
      return refuse('method', answers.METHOD_NOT_ALLOWED, 'NOT_CHECKED');
    }
    if (receiver.status !== 'ACTIVE') {
      verify(receiver, request);
      return refuse('inactive', answers.UNAUTHORIZED, 'NOT_CHECKED');
    }
    const handshake = verifier.handshakeBeforeVerify ? verifier.handshake(request) : null;
    if (handshake) return this.#shakeHands(receiver, request, handshake, 'NOT_CHECKED', elapsedMs);
    if (isGet) return refuse('unauthorized', answers.METHOD_NOT_ALLOWED, 'REJECTED_TOKEN');
    const { valid, authStatus } = verify(receiver, request);
    if (!valid) return refuse('unauthorized', answers.UNAUTHORIZED, authStatus);
    return { receiver, refuse: (cause, answer) => refuse(cause, answer, authStatus) };
  }

  /**
   * Counts a request that was answered before its body was read, for the webhook at its address, if there is one. Where too many
   * addresses are being looked up, only for one that is known: nobody waits for these, so nothing else would bound them.
   */
  refusedUnread(
    address: ReceiverAddress,
    request: InboundRequest,
    cause: UnreadCause,
    responseStatus: number,
    durationMs: number,
  ): void {
    const { directory, log } = this.#options;
    const count = (receiver: InboundReceiver | null | undefined): void => {
      if (receiver) this.#refused(receiver, request, cause, responseStatus, 'NOT_CHECKED', durationMs);
    };
    const found = this.#counting.size < MOST_COUNTING ? directory.find(address) : directory.known(address);
    if (!(found instanceof Promise)) return count(found);
    const counting = found
      .then(count, (error: unknown) => log.debug({ err: error }, 'a refused request could not be counted'))
      .finally(() => this.#counting.delete(counting));
    this.#counting.add(counting);
  }

  /** Resolves when what was refused unread before is counted, as far as it is. */
  async counted(): Promise<void> {
    await Promise.all(this.#counting);
  }

  /** Counts a refusal, and tells the webhook's owner of it if it is among the first. */
  #refused(
    receiver: InboundReceiver,
    request: InboundRequest,
    cause: RefusalCause,
    responseStatus: number,
    authStatus: AuthStatus,
    durationMs: number,
  ): void {
    const { tally } = this.#options;
    if (!tally.refused(receiver.id, cause, authStatus, request.receivedAt)) return;
    const dispatchStatus = cause === 'rate_limited' ? 'RATE_LIMITED' : 'REJECTED';
    tally.record({
      ...recordOf(receiver, request, durationMs),
      authStatus,
      dispatchStatus,
      responseStatus,
      outcome: null,
    });
  }

  #shakeHands(
    receiver: InboundReceiver,
    request: InboundRequest,
    handshake: HandshakeAnswer,
    authStatus: AuthStatus,
    elapsedMs: () => number,
  ): Received {
    const { tally } = this.#options;
    return {
      answer: answers.handshaken(handshake),
      outcome: 'handshake',
      afterwards: () => {
        if (!tally.handshaken(receiver.id, request.receivedAt)) return;
        tally.record({
          ...recordOf(receiver, request, elapsedMs()),
          authStatus,
          dispatchStatus: 'HANDSHAKE',
          responseStatus: handshake.status,
          outcome: handshake.ownerNote === null ? null : { note: storable(handshake.ownerNote) },
        });
      },
    };
  }

  /** Null where the webhook has changed since it was looked up, and nothing was kept. */
  async #keep(
    receiver: InboundReceiver,
    request: InboundRequest,
    value: unknown,
    elapsedMs: () => number,
  ): Promise<Received | null> {
    const { directory, receipts, sandbox, tally, hopsHeader } = this.#options;
    const json = (): string => JSON.stringify(value);
    const { eventType, idempotency } = await readValues(receiver, { headers: request.headers, value, json }, sandbox);
    const hops = hopsOf(request, hopsHeader);
    const waits = receiver.isDispatched ? 'PENDING' : 'DISPATCHED';
    const isWanted = hops < MOST_HOPS && isLetThrough(receiver.events, eventType);
    const receipt: NewReceipt = {
      ...recordOf(receiver, request, elapsedMs()),
      id: newId(),
      version: receiver.version,
      eventType,
      status: isWanted ? waits : 'IGNORED',
      idempotency,
      body: request.body,
      hops,
      sample: receiver.sampleArmed ? json() : null,
    };
    const kept = await receipts.keep(receipt);
    if (!kept) return null;
    if (kept.tookSample) directory.forget();
    const afterwards = (): void => tally.accepted(receiver.id, request.receivedAt);
    if (kept.duplicateOf !== null) {
      return { answer: answers.duplicate(kept.duplicateOf), outcome: 'duplicate', afterwards };
    }
    return { answer: answers.accepted(kept.id), outcome: isWanted ? 'accepted' : 'ignored', afterwards };
  }
}

/** A request that has proved to be its sender's. */
interface Verified {
  readonly receiver: InboundReceiver;
  readonly refuse: (cause: RefusalCause, answer: Answer) => Received;
}

const isVerified = (judged: Verified | Received): judged is Verified => 'receiver' in judged;

const METHOD_NOT_ALLOWED: Received = { answer: answers.METHOD_NOT_ALLOWED, outcome: 'method' };
const UNKNOWN: Received = { answer: answers.UNAUTHORIZED, outcome: 'unknown' };
const UNDECIDED: Received = { answer: answers.UNAVAILABLE, outcome: 'unavailable' };
/** What other settings might have let through. */
const REFUSED: ReadonlySet<ReceptionOutcome> = new Set<ReceptionOutcome>(['unknown', 'inactive', 'unauthorized']);

/** A refusal takes the time of hashing the body, whatever the webhook is verified by. */
const verify = ({ verifier, hashesBody }: InboundReceiver, request: InboundRequest) => {
  const verification = verifier.verify(request);
  if (!verification.valid && !hashesBody) dummyVerifier.verify(request);
  return verification;
};

/** Null for what is no JSON, or deeper than what walks it later can bear. */
const readableBody = (request: InboundRequest): { readonly value: unknown } | null => {
  const body = bodyOf(request);
  if (!body.ok || body.value === null) return body.ok ? body : null;
  if (!isForm(headerOf(request, 'content-type'))) return isTooDeep(request.body) ? null : body;
  // A form has at most one value that is not flat: JSON in its field `payload`.
  const { payload } = body.value as { readonly payload?: unknown };
  if (typeof payload !== 'object') return body;
  const text = new URLSearchParams(request.body.toString('utf8')).get('payload') ?? '';
  return isTooDeep(Buffer.from(text)) ? null : body;
};

const hopsOf = (request: InboundRequest, header: string): number => {
  const counts = (headerOf(request, header) ?? '').split(',').filter((text) => /^\s*\d+\s*$/.test(text));
  return Math.min(Math.max(0, ...counts.map(Number)), HIGHEST_HOPS);
};

/** What is recorded of every request. */
const recordOf = (receiver: InboundReceiver, request: InboundRequest, durationMs: number) => {
  const contentType = headerOf(request, 'content-type');
  return {
    tenantId: receiver.tenantId,
    webhookId: receiver.id,
    webhookName: receiver.name,
    receivedAt: request.receivedAt,
    method: request.method,
    ...withoutCredentials(request.path, request.query, request.headers, receiver.credentialNames),
    contentType: contentType === null ? null : storable(contentType),
    sourceIp: request.remoteAddress,
    durationMs: Math.round(durationMs),
  };
};
