//! Arguments of `gridctl login` and `gridctl logout`.

/// `login`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoginArgs {
    /// Address of the broker
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    /// Name of the context that is stored [default: that of the address, else the host]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArgs {
    /// The context [default: the current one]
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Also revoke the token at the broker
    #[arg(long)]
    pub(crate) revoke: bool,
}
