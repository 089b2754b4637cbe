//! UDX datagrams of a real conversation: taken apart, put together again, and followed by our machine.

use crate::json::{Value, hex, list, number, text};
use crate::report::Report;
use corestore_core::time::Instant;
use corestore_peer::swarm::udx::{
    CloseReason, Config, Header, Kind, Packet, Remote, SocketId, StreamId, StreamOptions, Udx,
};

pub(crate) fn udx(file: &Value, report: &mut Report) {
    file["repeatable"].skip("says that timing decided the packets");
    let packets = list(file, "packets");
    for (index, packet) in packets.iter().enumerate() {
        check_packet(&format!("packet {index}"), packet, report);
    }
    let messages = packets.iter().filter(|packet| header(packet).kind.has(Kind::MESSAGE)).count();
    report.equal("datagrams", &u64::try_from(messages).unwrap(), &number(&file["datagramsSeen"]));

    let (ids, sent) = (&file["streamIds"], &file["sent"]);
    let (a, b) = (id(&ids["a"]), id(&ids["b"]));
    let mut at_b = Listener::new(b, a);
    let mut at_a = Listener::new(a, b);
    at_b.hear(packets);
    at_a.hear(packets);
    report.equal("what b reads", &at_b.read(), &written(sent, "a"));
    report.equal("what a reads", &at_a.read(), &written(sent, "b"));
    report.equal(
        "b's message",
        &at_b.udx.receive_message(StreamId(b)).map(|m| m.to_vec()),
        &Some(hex(&sent["aDatagram"])),
    );
    report.check("b sees the end", at_b.udx.is_ended(StreamId(b)));
    report.check("a sees the end", at_a.udx.is_ended(StreamId(a)));

    let second: Vec<u32> = list(ids, "secondPair").iter().map(id).collect();
    let mut reset = Listener::new(second[1], second[0]);
    reset.hear(packets);
    report.equal("the second stream's end", &reset.udx.close_reason(StreamId(second[1])), &Some(CloseReason::Reset));
    report.equal("what it carried", &reset.read().len(), &9);
}

/// The fields in the file and the bytes are one another's.
fn check_packet(name: &str, value: &Value, report: &mut Report) {
    let (bytes, theirs) = (hex(&value["hex"]), header(value));
    let constants = (number(&value["header"]["magic"]), number(&value["header"]["version"]));
    report.equal(&format!("{name}: magic and version"), &constants, &(0xff, 1));
    let ranges: Vec<(u32, u32)> = list(value, "sack").iter().map(|r| (id(&r["start"]), id(&r["end"]))).collect();
    let Some(packet) = Packet::decode(&bytes) else {
        report.check(&format!("{name} is a packet"), false);
        return;
    };
    report.equal(&format!("{name}: header"), &packet.header, &theirs);
    report.equal(&format!("{name}: ranges"), &packet.sacks().collect(), &ranges);
    report.equal(
        &format!("{name}: payload"),
        &packet.payload.len(),
        &usize::try_from(number(&value["payloadBytes"])).unwrap(),
    );
    let ranges = ranges.iter().flat_map(|(start, end)| [start.to_le_bytes(), end.to_le_bytes()]).flatten();
    let padding = if theirs.kind.has(Kind::SACK) { 0 } else { usize::from(theirs.data_offset) };
    let mut ours: Vec<u8> = theirs.encode().into_iter().chain(ranges).collect();
    ours.resize(ours.len() + padding, 0);
    ours.extend_from_slice(packet.payload);
    report.equal(&format!("{name}: bytes"), &ours, &bytes);
}

/// One of our streams that hears what was sent to its id.
struct Listener {
    udx: Udx,
    id: u32,
}

impl Listener {
    fn new(id: u32, other: u32) -> Self {
        let mut udx = Udx::new(Config::default(), [0; 32]);
        let address = ([127, 0, 0, 1], 1).into();
        udx.open(Instant::ZERO, StreamId(id), StreamOptions::default()).unwrap();
        udx.connect(Instant::ZERO, StreamId(id), Remote { socket: SocketId(0), address, id: other }, None).unwrap();
        Self { udx, id }
    }

    /// Packets that got lost are not heard.
    fn hear(&mut self, packets: &[Value]) {
        for packet in packets.iter().filter(|packet| id(&packet["header"]["remoteId"]) == self.id) {
            if packet["lost"].as_bool() != Some(true) {
                self.udx.handle_datagram(Instant::ZERO, SocketId(0), ([127, 0, 0, 1], 1).into(), &hex(&packet["hex"]));
            }
        }
    }

    fn read(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.udx.read_chunk(StreamId(self.id))).flatten().collect()
    }
}

fn header(packet: &Value) -> Header {
    let fields = &packet["header"];
    assert!(matches!(text(&packet["from"]), "a" | "b"));
    Header {
        kind: Kind(u8::try_from(number(&fields["type"])).unwrap()),
        data_offset: u8::try_from(number(&fields["dataOffset"])).unwrap(),
        stream: id(&fields["remoteId"]),
        window: id(&fields["recvWindow"]),
        seq: id(&fields["seq"]),
        ack: id(&fields["ack"]),
    }
}

fn written(sent: &Value, who: &str) -> Vec<u8> {
    list(sent, who).iter().flat_map(hex).collect()
}

fn id(value: &Value) -> u32 {
    u32::try_from(number(value)).expect("32 bits")
}
