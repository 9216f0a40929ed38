// oxlint-disable typescript/no-explicit-any -- answers are whatever the queries ask for
import type { TestTenant } from './tenant.ts';

const RESULT = `{
  __typename
  ... on TicketSuccess {
    ticket {
      id ticketNumber title description status priority client { id name } contactName contactEmail assignedTo board
      isClosed tags dueDate externalId comments { id text author isInternal } createdAt updatedAt closedAt
    }
    events { id type data entityId source occurredAt }
  }
  ... on Error { code message path }
}`;

/** What people do at the desk, through the API. Refused operations answer their error. */
export interface TestDesk {
  create(input: object): Promise<any>;
  update(id: string, input: object): Promise<any>;
  assign(id: string, assignedTo: string | null): Promise<any>;
  changeStatus(id: string, status: string): Promise<any>;
  close(id: string): Promise<any>;
  comment(id: string, input: object): Promise<any>;
  upsertClient(input: object): Promise<any>;
}

export const deskOf = ({ graphql }: Pick<TestTenant, 'graphql'>): TestDesk => {
  const mutate = async (name: string, types: Record<string, string>, variables: object): Promise<any> => {
    const declared = Object.entries(types).map(([variable, type]) => `$${variable}: ${type}`);
    const passed = Object.keys(types).map((variable) => `${variable}: $${variable}`);
    const answer = await graphql(`mutation (${declared.join(', ')}) { it: ${name}(${passed.join(', ')}) ${RESULT} }`, {
      ...variables,
    });
    return answer.it;
  };
  return {
    create: (input) => mutate('ticketCreate', { input: 'TicketCreateInput!' }, { input }),
    update: (id, input) => mutate('ticketUpdate', { id: 'ID!', input: 'TicketUpdateInput!' }, { id, input }),
    assign: (id, assignedTo) => mutate('ticketAssign', { id: 'ID!', assignedTo: 'String' }, { id, assignedTo }),
    changeStatus: (id, status) => mutate('ticketChangeStatus', { id: 'ID!', status: 'String!' }, { id, status }),
    close: (id) => mutate('ticketClose', { id: 'ID!' }, { id }),
    comment: (id, input) => mutate('ticketAddComment', { id: 'ID!', input: 'TicketCommentInput!' }, { id, input }),
    upsertClient: async (input) =>
      (
        await graphql(
          `
            mutation ($input: ClientInput!) {
              clientUpsert(input: $input) {
                __typename
                ... on ClientSuccess {
                  client {
                    id
                    name
                    externalId
                    isActive
                    properties
                    createdAt
                    updatedAt
                  }
                }
                ... on Error {
                  code
                  message
                  path
                }
              }
            }
          `,
          { input },
        )
      ).clientUpsert,
  };
};
