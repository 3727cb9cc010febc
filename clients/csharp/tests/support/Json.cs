using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace UFlow.Tests
{
    /// <summary>Reads JSON. Numbers stay text, so that the tests can read them as the type that the command printed.</summary>
    internal sealed class Json
    {
        private readonly string text;
        private int at;

        private Json(string text)
        {
            this.text = text;
        }

        /// <summary>A Dictionary, a List, a string (also for numbers), a bool or null.</summary>
        internal static object Parse(string text) => new Json(text).Value();

        /// <summary>Correctly rounded, which is not so for all runtimes' own functions.</summary>
        internal static float Single(object number) => strtof((string)number, System.IntPtr.Zero);

        internal static double Double(object number) => number == null ? double.NaN : strtod((string)number, System.IntPtr.Zero);

        [DllImport("libc", CharSet = CharSet.Ansi)]
        private static extern float strtof(string text, System.IntPtr end);

        [DllImport("libc", CharSet = CharSet.Ansi)]
        private static extern double strtod(string text, System.IntPtr end);

        private object Value()
        {
            switch (Peek())
            {
                case '{': return Object();
                case '[': return Array();
                case '"': return String();
                case 't': at += 4; return true;
                case 'f': at += 5; return false;
                case 'n': at += 4; return null;
                default: return Number();
            }
        }

        private char Peek()
        {
            while (char.IsWhiteSpace(text[at]))
            {
                at++;
            }
            return text[at];
        }

        private Dictionary<string, object> Object()
        {
            var found = new Dictionary<string, object>();
            for (at++; Peek() != '}';)
            {
                string key = String();
                Peek();
                at++;
                found[key] = Value();
                if (Peek() == ',')
                {
                    at++;
                }
            }
            at++;
            return found;
        }

        private List<object> Array()
        {
            var found = new List<object>();
            for (at++; Peek() != ']';)
            {
                found.Add(Value());
                if (Peek() == ',')
                {
                    at++;
                }
            }
            at++;
            return found;
        }

        private string String()
        {
            var found = new StringBuilder();
            Peek();
            for (at++; text[at] != '"'; at++)
            {
                // Paths of the tests need no other escapes.
                at += text[at] == '\\' ? 1 : 0;
                found.Append(text[at]);
            }
            at++;
            return found.ToString();
        }

        private string Number()
        {
            int start = at;
            while (at < text.Length && "+-.0123456789eE".IndexOf(text[at]) >= 0)
            {
                at++;
            }
            return text.Substring(start, at - start);
        }
    }
}
