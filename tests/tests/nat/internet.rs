//! A small internet of network namespaces: public nodes on one wire, and homes behind routers on it.

use std::path::Path;
use std::process::Command;

/// What a router does to the ports of its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// A socket shows everybody the same port.
    Consistent,
    /// A socket shows each destination another one.
    Random,
}

/// A machine, by its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine(pub(crate) &'static str);

/// A router with the network behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    /// Namespace of the router.
    router: &'static str,
    /// The router's address on the public wire.
    address: &'static str,
    nat: Nat,
    /// Machines of this home, from the second address on: every home has the same ones.
    machines: &'static [Machine],
}

/// Where everybody can be reached: addresses that count as public.
pub(crate) const PUBLIC: Machine = Machine("public");
/// Addresses of [`PUBLIC`].
pub(crate) const HOSTS: [&str; 5] = ["20.0.0.1", "20.0.0.2", "20.0.0.3", "20.0.0.4", "20.0.0.5"];

/// Two homes of each kind; two machines are in the first one.
pub(crate) const HOMES: [Home; 4] = [
    Home {
        router: "router-1",
        address: "20.0.0.101",
        nat: Nat::Consistent,
        machines: &[Machine("home-1"), Machine("home-1b")],
    },
    Home { router: "router-2", address: "20.0.0.102", nat: Nat::Consistent, machines: &[Machine("home-2")] },
    Home { router: "router-3", address: "20.0.0.103", nat: Nat::Random, machines: &[Machine("home-3")] },
    Home { router: "router-4", address: "20.0.0.104", nat: Nat::Random, machines: &[Machine("home-4")] },
];

/// Makes the public wire and the homes, inside the namespaces of the test.
pub(crate) fn build(homes: &[Home]) {
    // Ours alone: nobody outside sees these names, and /run need not be ours to write.
    shell("mount -t tmpfs none /run && mkdir /run/netns");
    add_namespace(PUBLIC.0);
    shell(&format!("ip -n {} link add wire type bridge && ip -n {0} link set wire up", PUBLIC.0));
    for host in HOSTS {
        shell(&format!("ip -n {} addr add {host}/24 dev wire", PUBLIC.0));
    }
    homes.iter().for_each(Home::build);
}

impl Machine {
    /// A command that runs on this machine.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.0]).arg(program);
        command
    }

    /// Runs a line of shell on this machine.
    pub(crate) fn shell(self, line: &str) {
        assert!(self.command(Path::new("sh")).args(["-ec", line]).status().unwrap().success(), "{}: {line}", self.0);
    }
}

impl Home {
    pub(crate) fn nat(&self) -> Nat {
        self.nat
    }

    pub(crate) fn first(&self) -> Machine {
        self.machines[0]
    }

    pub(crate) fn machines(&self) -> &'static [Machine] {
        self.machines
    }

    fn build(&self) {
        let Self { router, address, nat, machines } = self;
        add_namespace(router);
        shell(&format!(
            "ip -n {router} link add wan type veth peer name {router} netns {public}
             ip -n {public} link set {router} master wire up
             ip -n {router} link set wan up
             ip -n {router} addr add {address}/24 dev wan
             ip -n {router} link add lan type bridge
             ip -n {router} addr add 192.168.1.1/24 dev lan
             ip -n {router} link set lan up",
            public = PUBLIC.0,
        ));
        for (machine, place) in machines.iter().zip(2..) {
            let name = machine.0;
            add_namespace(name);
            // Containers run on it: every such machine has this network, and it leads to no other one.
            shell(&format!(
                "ip -n {name} link add containers type bridge
                 ip -n {name} addr add 172.17.0.1/16 dev containers
                 ip -n {name} link set containers up
                 ip -n {name} link add eth type veth peer name {name} netns {router}
                 ip -n {router} link set {name} master lan up
                 ip -n {name} link set eth up
                 ip -n {name} addr add 192.168.1.{place}/24 dev eth
                 ip -n {name} route add default via 192.168.1.1"
            ));
        }
        Machine(router).shell("echo 1 > /proc/sys/net/ipv4/ip_forward");
        let ports = if *nat == Nat::Random { "fully-random" } else { "" };
        let rules = RULES.replace("PORTS", ports);
        assert!(Machine(router).command(Path::new("nft")).arg(rules).status().unwrap().success(), "{router}");
    }
}

fn add_namespace(name: &'static str) {
    shell(&format!("ip netns add {name} && ip -n {name} link set lo up"));
    // Many homes have no IPv6.
    Machine(name).shell(
        "test ! -e /proc/sys/net/ipv6/conf/all/disable_ipv6 || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
    );
}

fn shell(line: &str) {
    assert!(Command::new("sh").args(["-ec", line]).status().unwrap().success(), "{line}");
}

/// Packets of known flows come in; a packet nobody waits for is dropped without a word.
const RULES: &str = "
    add table ip router
    add chain ip router out { type nat hook postrouting priority 100; }
    add rule ip router out oifname wan masquerade PORTS
    add chain ip router through { type filter hook forward priority 0; policy drop; }
    add rule ip router through iifname lan accept
    add rule ip router through ct state established,related accept
    add chain ip router in { type filter hook input priority 0; policy drop; }
    add rule ip router in iifname lan accept
    add rule ip router in ct state established,related accept
";
