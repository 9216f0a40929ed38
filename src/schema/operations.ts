import { getOperationAST, getVariableValues } from 'graphql';
import type { DocumentNode, ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Logger } from '../platform/logs.ts';
import { isIntrospectionOnly } from './authentication.ts';
import type { Context } from './builder.ts';
import { parseDocument, validateDocument } from './limits.ts';
import { requestError, unauthorized, unavailable } from './topLevelErrors.ts';

/** An operation that still runs then asks whether the database does. With the probe's 2 s that is within 5 s. */
const SUSPECT_AFTER_MS = 2_800;
const PROBE_AGAIN_MS = 2_000;

export interface OperationOptions {
  /** Without a key nothing is told in production, and the messages name nothing that nobody asked about. */
  readonly isProduction: boolean;
  readonly isDatabaseReachable: () => Promise<boolean>;
  readonly log: Logger;
}

/** Settles as `work` does, or rejects with SERVICE_UNAVAILABLE when that takes long because the database is away. */
export const unlessOutage = <T>(work: Promise<T> | T, isDatabaseReachable: () => Promise<boolean>): Promise<T> | T => {
  if (!(work instanceof Promise)) return work;
  return new Promise<T>((resolve, reject) => {
    const ask = async (): Promise<void> => {
      if (await isDatabaseReachable()) timer = setTimeout(() => void ask(), PROBE_AGAIN_MS);
      else reject(unavailable());
    };
    let timer = setTimeout(() => void ask(), SUSPECT_AFTER_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
};

/** What is wrong with an operation before it runs; null where it may. */
export const refusalOf = (
  { document, operationName, schema, variableValues }: ExecutionArgs,
  { caller }: Pick<Context, 'caller'>,
  isProduction: boolean,
): readonly GraphQLError[] | null => {
  const operation = operationOf(document, operationName);
  if (operation === null) {
    return [requestError('BAD_REQUEST', 'Name one of the document’s operations in operationName.')];
  }
  if (caller === null && (isProduction || !isIntrospectionOnly(document, operation))) return [unauthorized()];
  const { errors } = getVariableValues(
    schema,
    operation.variableDefinitions ?? [],
    { ...variableValues },
    {
      maxErrors: 20,
    },
  );
  return errors ? errors.map(({ message }) => requestError('BAD_REQUEST', message)) : null;
};

const operationOf = (document: DocumentNode, name: string | null | undefined) =>
  getOperationAST(document, name) ?? null;

/**
 * What every operation goes through, over HTTP and WebSocket alike: limits and codes for what is malformed, nothing for
 * nobody, and an answer in time where the database is gone.
 */
export const useOperations = ({ isProduction, isDatabaseReachable }: OperationOptions): Plugin<Context> => ({
  onParse({ setParseFn }) {
    setParseFn(parseDocument);
  },
  onValidate({ setValidationFn }) {
    setValidationFn(validateDocument(isProduction));
  },
  onExecute({ args, executeFn, setExecuteFn, setResultAndStopExecution }) {
    const refusal = refusalOf(args, args.contextValue, isProduction);
    if (refusal) setResultAndStopExecution({ errors: refusal });
    else setExecuteFn((all) => unlessOutage(executeFn(all) as Promise<ExecutionResult>, isDatabaseReachable));
  },
  onSubscribe({ args, subscribeFn, setSubscribeFn, setResultAndStopExecution }) {
    const refusal =
      refusalOf(args, args.contextValue, isProduction) ??
      ('request' in args.contextValue && args.contextValue.request
        ? [requestError('BAD_REQUEST', 'Subscriptions go over a WebSocket (graphql-transport-ws) on this path.')]
        : null);
    if (refusal) setResultAndStopExecution({ errors: refusal });
    else setSubscribeFn((all) => unlessOutage(subscribeFn(all) as Promise<ExecutionResult>, isDatabaseReachable));
    // What comes next is pulled, and its fields are resolved, only when this has been sent.
    return { onSubscribeResult: () => ({ onNext: () => args.contextValue.loaders.large.beginAnswer() }) };
  },
});
