import { createHmac, randomUUID } from 'node:crypto';

/** A monitoring system of somebody else's, which posts its alerts to an inbound webhook and signs them. */
export interface Monitor {
  /** What the inbound webhook that believes it is created with. */
  readonly webhook: object;
  /** Posts the nth alert; answers when that was, and the delivery that it became. */
  alert(address: string, n: number): Promise<{ readonly at: number; readonly deliveryId: string }>;
}

const ALERTS = [
  { host: 'db-2', text: 'Disk 91 % full', severity: 'high' },
  { host: 'mail-1', text: 'Queue of 4,000 messages', severity: 'medium' },
  { host: 'edge-3', text: 'Does not answer', severity: 'urgent' },
];

export const createMonitor = (): Monitor => {
  const secret = randomUUID();
  return {
    webhook: {
      name: 'Monitoring',
      slug: 'monitoring',
      auth: { type: 'HMAC', config: { header: 'X-Monitor-Signature' }, secret },
      eventTypeSource: { type: 'JSONATA', value: "'monitor.alert'" },
      idempotencySource: { type: 'JSONATA', value: 'alert.id' },
      handler: {
        type: 'DIRECT_ACTION',
        action: 'createTicket',
        fieldMapping: {
          title: "alert.host & ': ' & alert.text",
          priority: 'alert.severity',
          external_id: 'alert.id',
          assigned_to: "'Night shift'",
        },
      },
    },
    alert: async (address, n) => {
      const body = JSON.stringify({ alert: { id: randomUUID(), ...ALERTS[n % ALERTS.length] } });
      const at = Date.now();
      const answer = await fetch(address, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-monitor-signature': createHmac('sha256', secret).update(body).digest('hex'),
        },
        body,
      });
      if (answer.status !== 200) throw new Error(`the alert was answered with ${answer.status}`);
      const { delivery_id: deliveryId } = (await answer.json()) as { delivery_id: string };
      return { at, deliveryId };
    },
  };
};
