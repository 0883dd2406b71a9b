//! A way between an appliance and a broker that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;

use grid_broker::tasks;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

/// Passes on what comes to its address, to a broker and back, until it goes.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// From `listener` to the broker at `target`.
    pub(crate) fn start(listener: TcpListener, target: String) -> Self {
        let address = listener.local_addr().expect("it has an address");
        let (cuts, cut) = watch::channel(0);
        let accepting = tasks::spawn("relay", accept(listener, target, cut));
        Self { address, cuts, accepting }
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// What breaks all connections, for whoever does not hold it.
    pub(crate) fn scissors(&self) -> watch::Sender<u64> {
        self.cuts.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, cut: watch::Receiver<u64>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is not closed");
        let Ok((mut near, _)) = listener.accept().await else { return };
        let (target, mut cut) = (target.clone(), cut.clone());
        cut.mark_unchanged();
        drop(tasks::spawn("relayed connection", async move {
            let pass = async {
                let mut far = TcpStream::connect(target).await?;
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                copy_bidirectional(&mut near, &mut far).await
            };
            tokio::select! {
                _ = pass => {}
                _ = cut.changed() => {}
            }
            drop(place);
        }));
    }
}
