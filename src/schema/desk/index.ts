import './client.ts';
import './asset.ts';
import './ticket.ts';
import './ticketMutations.ts';
