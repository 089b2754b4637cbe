//! dht-rpc: ids by address, datagrams, tokens.

use crate::json::{Value, address, fixed, hex, list, number, optional, text};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b_keyed};
use corestore_core::dht::{Datagram, InternalCommand, Request, Response, node_id};
use corestore_core::encoding::{Decode, Encode};

pub(crate) fn dht_rpc(file: &Value, report: &mut Report) {
    for entry in list(file, "nodeIds") {
        report.equal("node id", &node_id(&address(entry)), &Hash(fixed(&entry["id"])));
    }
    let commands = &file["internalCommands"];
    for (name, command) in [
        ("PING", InternalCommand::Ping),
        ("PING_NAT", InternalCommand::PingNat),
        ("FIND_NODE", InternalCommand::FindNode),
        ("DOWN_HINT", InternalCommand::DownHint),
        ("DELAYED_PING", InternalCommand::DelayedPing),
    ] {
        report.equal(name, &command.number(), &number(&commands[name]));
    }
    list(file, "requests").iter().for_each(|entry| request(entry, report));
    list(file, "replies").iter().for_each(|entry| reply(entry, report));
    file["tokenRule"].skip("prose; the tokens below are made by it");
}

fn request(entry: &Value, report: &mut Report) {
    let request = Request {
        tid: u16::try_from(number(&entry["tid"])).expect("a number of 16 bits"),
        to: address(&entry["to"]),
        id: optional(&entry["id"], |id| Hash(fixed(id))),
        token: optional(&entry["token"], |token| Hash(fixed(token))),
        internal: entry["internal"].as_bool().expect("a flag"),
        command: number(&entry["command"]),
        target: optional(&entry["target"], |target| Hash(fixed(target))),
        value: optional(&entry["value"], |value| Bytes::from(hex(value))),
    };
    report.check("only lasting nodes show an id", entry["ephemeral"].as_bool() == Some(request.id.is_none()));
    both_ways(text(&entry["name"]), Datagram::Request(request), entry, report);
}

fn reply(entry: &Value, report: &mut Report) {
    let name = text(&entry["name"]);
    let closer_nodes: Vec<_> = list(entry, "closerNodes").iter().map(address).collect();
    let token = optional(&entry["expectedToken"], |token| Hash(fixed(token)));
    let response = Response {
        tid: u16::try_from(number(&entry["tid"])).expect("a number of 16 bits"),
        to: address(&entry["from"]),
        id: optional(&entry["id"], |id| Hash(fixed(id))),
        token,
        closer_nodes,
        error: number(&entry["error"]),
        value: optional(&entry["value"], |value| Bytes::from(hex(value))),
    };
    report.equal("closer nodes", &response.closer_nodes.len(), &usize::try_from(number(&entry["closer"])).unwrap());
    report.check("a token when wanted", entry["token"].as_bool() == Some(token.is_some()));
    report.check("only lasting nodes show an id", entry["ephemeral"].as_bool() == Some(response.id.is_none()));
    let secrets = list(entry, "tokenSecrets");
    secrets[0].skip("the older secret only checks");
    let host = response.to.ip().to_string();
    let made = blake2b_keyed(&fixed::<32>(&secrets[1]), &[host.as_bytes()]);
    report.check("the token is the host under the newer secret", token.is_none_or(|token| token == made));
    let asked = Datagram::from_bytes(&hex(&entry["request"]));
    let Ok(Datagram::Request(asked)) = asked else { return report.check("the request is one", false) };
    report.equal("the answer has the question's number", &asked.tid, &response.tid);
    report.check("a target when said", entry["withTarget"].as_bool() == Some(asked.target.is_some()));
    both_ways(name, Datagram::Response(response), entry, report);
}

fn both_ways(name: &str, datagram: Datagram, entry: &Value, report: &mut Report) {
    let bytes = hex(&entry["hex"]);
    report.equal(&format!("{name} written"), &datagram.to_bytes(), &bytes);
    report.equal(&format!("{name} read"), &Datagram::from_bytes(&bytes), &Ok(datagram));
}
