/** The frame around the pages: navigation, who is signed in, and whether the daemon is heard of. */
import { useEffect, useReducer, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { visible } from './lib/format';
import { isAddress } from './lib/net';
import { gather } from './lib/pace';
import { clientPath, type Route } from './lib/route';
import { Link, navigate, useRoute } from './lib/router';
import { keepFocus } from './lib/focus';
import { lostSession, refresh, signOut, useStanding } from './lib/session';
import { setTheme, useTheme, type Theme } from './lib/theme';
import { LiveContext, listen, useLive } from './live/connect';
import { START, reduce } from './live/state';
import type { Told } from './live/stream';
import { Ago, Loading } from './ui/basic';
import { Audit } from './pages/audit';
import { Bans } from './pages/bans';
import { Client } from './pages/client';
import { Fleet } from './pages/fleet';
import { Now } from './pages/now';
import { Reports } from './pages/reports';
import { Rules } from './pages/rules';
import { Sessions } from './pages/sessions';
import { SignIn } from './pages/signin';

export function App() {
  const standing = useStanding();
  if (standing.kind === 'asking') {
    return <Loading what="Asking the daemon who you are" />;
  }
  return standing.kind === 'out' ? <SignIn key={standing.why} why={standing.why} /> : <SignedIn />;
}

/** From an event to the frame that shows it, milliseconds: an attack or an import makes thousands of them in a second. */
const TOGETHER_MS = 50;

function SignedIn() {
  const [live, tell] = useReducer(reduce, START);
  useEffect(() => {
    const gathered = gather<Told>((all) => all.forEach((told) => (told.type === 'signed-out' ? lostSession() : tell(told))), TOGETHER_MS);
    const leave = listen(gathered.add);
    return () => {
      leave();
      gathered.stop();
    };
  }, []);
  return (
    <LiveContext value={live}>
      <Frame />
    </LiveContext>
  );
}

const PAGES = [
  { page: 'now', href: '/', name: 'Now' },
  { page: 'bans', href: '/bans', name: 'Bans' },
  { page: 'fleet', href: '/fleet', name: 'Fleet' },
  { page: 'rules', href: '/rules', name: 'Rules' },
  { page: 'audit', href: '/audit', name: 'Audit' },
  { page: 'reports', href: '/reports', name: 'Reports' },
] as const;

function Frame() {
  const route = useRoute();
  const { overview } = useLive();
  const main = useRef<HTMLElement>(null);
  const title = titleOf(route);
  const shown = useRef(title);
  useEffect(() => {
    document.title = `${title} · SecBeat`;
    if (shown.current !== title) {
      // A new page begins at its top, for screen readers too.
      shown.current = title;
      main.current?.focus({ preventScroll: true });
    }
  }, [title]);
  useEffect(() => (main.current === null ? undefined : keepFocus(main.current)), []);
  const alarms = overview?.alarms.length ?? 0;
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={() => main.current?.focus()}>
        Skip to the page
      </a>
      <header className="top">
        <Link href="/" className="brand">
          <img src="/favicon.svg" alt="" width="22" height="22" /> SecBeat
        </Link>
        <nav aria-label="Pages">
          <ul>
            {PAGES.map(({ page, href, name }) => (
              <li key={page}>
                <Link href={href} aria-current={route.page === page ? 'page' : undefined}>
                  {name}
                  {page === 'now' && alarms > 0 && <span className="count">{alarms}<span className="unseen"> alarms</span></span>}
                </Link>
              </li>
            ))}
          </ul>
        </nav>
        <Find />
        <Account />
      </header>
      <Connection />
      <main id="main" ref={main} tabIndex={-1}>
        {pageOf(route)}
      </main>
    </div>
  );
}

function titleOf(route: Route): string {
  switch (route.page) {
    case 'client':
      return route.client ?? 'Client';
    case 'sessions':
      return 'Sessions';
    case 'unknown':
      return 'No such page';
    default:
      return PAGES.find(({ page }) => page === route.page)?.name ?? '';
  }
}

function pageOf(route: Route): ReactNode {
  switch (route.page) {
    case 'now':
      return <Now />;
    case 'client':
      return <Client key={route.client} address={route.client ?? ''} />;
    case 'bans':
      return <Bans />;
    case 'fleet':
      return <Fleet />;
    case 'rules':
      return <Rules />;
    case 'audit':
      return <Audit />;
    case 'reports':
      return <Reports />;
    case 'sessions':
      return <Sessions />;
    case 'unknown':
      return (
        <>
          <h1>No such page</h1>
          <p>
            Nothing is at this address. Go to <Link href="/">Now</Link>.
          </p>
        </>
      );
  }
}

/** Leads to the page of an address. */
function Find() {
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState(false);
  const go = (event: FormEvent) => {
    event.preventDefault();
    const address = text.trim();
    const good = isAddress(address);
    setWrong(!good && address !== '');
    if (good) {
      setText('');
      navigate(clientPath(address));
    }
  };
  return (
    <form className="find" role="search" onSubmit={go}>
      <input
        type="search"
        aria-label="Find an address"
        aria-invalid={wrong}
        placeholder="Find an address"
        value={text}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          setText(event.target.value);
          setWrong(false);
        }}
      />
      {wrong && (
        <span role="alert" className="find-wrong">
          No IPv4 or IPv6 address
        </span>
      )}
    </form>
  );
}

const THEMES: { theme: Theme; name: string }[] = [
  { theme: 'system', name: 'As the system' },
  { theme: 'light', name: 'Light' },
  { theme: 'dark', name: 'Dark' },
];

function Account() {
  const standing = useStanding();
  const theme = useTheme();
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) {
      return undefined;
    }
    const close = (event: Event) => {
      const isEscape = event instanceof KeyboardEvent && event.key === 'Escape';
      const isOutside = event.type !== 'keydown' && !(event.target instanceof Node && place.current?.contains(event.target) === true);
      if (isEscape && place.current?.contains(document.activeElement) === true) {
        opener.current?.focus();
      }
      if (isEscape || isOutside) {
        setOpen(false);
      }
    };
    document.addEventListener('keydown', close);
    document.addEventListener('pointerdown', close);
    return () => {
      document.removeEventListener('keydown', close);
      document.removeEventListener('pointerdown', close);
    };
  }, [open]);
  if (standing.kind !== 'in') {
    return null;
  }
  const { name, role } = standing.session;
  return (
    <div className="account" ref={place}>
      <button ref={opener} type="button" aria-expanded={open} aria-controls="account" onClick={() => setOpen(!open)}>
        {visible(name)} <span className="note">{role}</span>
      </button>
      <div id="account" className="menu" hidden={!open}>
        <fieldset>
          <legend>Colours</legend>
          {THEMES.map((entry) => (
            <label key={entry.theme}>
              <input type="radio" name="theme" checked={theme === entry.theme} onChange={() => setTheme(entry.theme)} /> {entry.name}
            </label>
          ))}
        </fieldset>
        <Link href="/sessions" onClick={() => setOpen(false)}>
          Sessions
        </Link>
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
        <a href="/licences.txt" className="note">
          Licences
        </a>
      </div>
    </div>
  );
}

/** Says that what is shown is old. */
function Connection() {
  const { connection, why, lastSeenMs, missed } = useLive();
  if (connection === 'lost') {
    // A screen reader tells an alert anew whenever it changes: the time stands beside it.
    return (
      <div className="banner bad">
        <span role="alert">
          Connection lost{why === undefined ? '' : `: ${visible(why)}`}. Bans stay in force in the kernel. The page connects again by itself.
        </span>{' '}
        {lastSeenMs === undefined ? 'The daemon was not seen yet.' : <>Last seen <Ago at={lastSeenMs} />.</>}
      </div>
    );
  }
  return missed ? (
    <div className="banner" role="status">
      Some events went by unseen. Numbers and tables are up to date; the latest events may lack some.{' '}
      <button type="button" className="quiet" onClick={() => void refresh().then(() => window.location.reload())}>
        Load again
      </button>
    </div>
  ) : null;
}
